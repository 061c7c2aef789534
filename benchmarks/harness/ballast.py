"""The command line inside a process that holds memory: ``python ballast.py MB ARG...``"""

import sys

PAGE = 4096


def main() -> int:
    size = int(sys.argv.pop(1)) << 20
    ballast = bytearray(size)
    for place in range(0, size, PAGE):
        ballast[place] = 1
    from jobrunner.cli.main import main as command_line

    code = command_line(sys.argv[1:])
    return code if len(ballast) == size else 70


if __name__ == "__main__":
    sys.exit(main())

"""``jobrunner completion``: the script that teaches a shell to ask us."""

from __future__ import annotations

import sys

import click

from jobrunner.cli.base import Cmd

BASH = """\
# jobrunner completion for bash. Put this into ~/.bashrc:
#   eval "$(jobrunner completion bash)"
_jobrunner() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}") line cut
    # bash cuts words at '=' and ':'; put --name=value together again.
    local joined=() word
    for word in "${words[@]}"; do
        if [[ ${#joined[@]} -gt 0 && ( $word == = || ${joined[-1]} == --*= ) ]]; then
            joined[-1]+=$word
        else
            joined+=("$word")
        fi
    done
    COMPREPLY=()
    cut=""
    [[ ${joined[-1]} == --*=* ]] && cut="${joined[-1]%%=*}="
    while IFS= read -r line; do
        COMPREPLY+=("${line#"$cut"}")
    done < <(jobrunner __complete "${joined[@]}" 2>/dev/null)
}
complete -o default -F _jobrunner jobrunner
"""

ZSH = """\
#compdef jobrunner
# jobrunner completion for zsh. Put this into ~/.zshrc, after compinit:
#   eval "$(jobrunner completion zsh)"
_jobrunner() {
    local -a found
    found=("${(@f)$(jobrunner __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then
        compadd -- $found
    else
        _files
    fi
}
compdef _jobrunner jobrunner
"""

FISH = """\
# jobrunner completion for fish. Put this into ~/.config/fish/completions/jobrunner.fish:
#   jobrunner completion fish > ~/.config/fish/completions/jobrunner.fish
function __jobrunner_complete
    set -l words (commandline -opc) (commandline -ct)
    jobrunner __complete $words[2..-1] 2>/dev/null
end
complete -c jobrunner -a '(__jobrunner_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command(
    cls=Cmd,
    examples=('eval "$(jobrunner completion bash)"', 'eval "$(jobrunner completion zsh)"'),
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    Commands, options and the names of jobs and executions are completed.
    """
    sys.stdout.write(SCRIPTS[shell])

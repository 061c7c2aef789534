"""Draws a picture of 64 by 48 pixels to standard output."""

print("P3\n64 48\n255")
for y in range(48):
    print(" ".join(f"{4 * x} {5 * y} 128" for x in range(64)))

"""What Perfusion costs in models of the true shapes: time, memory, growth.

    python dev.py bench full_size                    every part, at the size for two cores, in under 15 minutes
    python dev.py bench full_size sampling training  these parts
    python dev.py bench full_size --scale patient    on two cores with more rounds, in half an hour

Models have the true shapes and random weights, and are built by ComfyUI's own classes (COMFYUI_PATH). Each part runs in
a process of its own and writes JSON; the tables come out as markdown.
"""

import sys

from full_size.command import main

if __name__ == "__main__":
    sys.exit(main(__doc__))

"""The position gate in joint attention, in the joint world, in parts that go on where they were stopped.

python dev.py bench joint [--part base tune alone company pairs harm] [--methods ...] [--record]
"""

from joint.command import main

if __name__ == "__main__":
    main(__doc__)

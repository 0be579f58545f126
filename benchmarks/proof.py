"""The proof of the method in the pixel world, in parts that go on where they were stopped.

python dev.py bench proof [--part tune front signs open pairs files leakage companions harm snapshots masks]
                          [--methods ...] [--record]
"""

from proof.command import main

if __name__ == "__main__":
    main(__doc__)

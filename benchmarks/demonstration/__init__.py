"""The demo's parts: ``studio`` teaches and draws, ``scores`` reads the pictures, ``pages`` lays them out."""

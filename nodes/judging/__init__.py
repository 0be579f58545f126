"""Pictures side by side and what they are worth: Perfusion Sweep and Evaluate Perfusion Concept."""

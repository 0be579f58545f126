"""The equations: the gate, the edited context, several concepts at once, regions, and hooks that inject an edit."""

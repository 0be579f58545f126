"""The demo inside ComfyUI."""

"""The concept beside everything of ComfyUI's core, as its own ``/object_info`` lists it."""

"""All that knows ComfyUI's insides: CLIP and prompts, one model call, private copies, folders, messages."""

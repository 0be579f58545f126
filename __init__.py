"""ComfyUI-Perfusion: teach Stable Diffusion one subject from a few pictures, as a concept of about 30 KB."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    from .host_version import require_supported_host

    require_supported_host()
    from .nodes import PerfusionExtension

    return PerfusionExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

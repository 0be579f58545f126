"""A closed world of pixel art with its own small diffusion model, in which what was drawn can be read back."""
from .captions import Caption, sample_caption, sample_scene
from .reader import Reader, Reading, identity_score
from .sampling import sample
from .scene import Figure, Individual, Scene, Traits, render, sample_individual, training_pictures
from .unet import value_projection_names
from .world import World, latents_from_pictures, load_world, pictures_from_latents

__all__ = [
    "Caption", "Figure", "Individual", "Reader", "Reading", "Scene", "Traits", "World", "identity_score",
    "latents_from_pictures", "load_world", "pictures_from_latents", "render", "sample", "sample_caption",
    "sample_individual", "sample_scene", "training_pictures", "value_projection_names",
]

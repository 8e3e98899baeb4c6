"""Fixed values that PhotoGPT documents: public model ids, their limits, and presets."""

REFERENCE_IMAGES = {
    "nanobanana": 3,
    "nanobanana-pro": 14,
    "nanobanana-2": 14,
    "seedream": 10,
    "seedream-4_5": 10,
    "seedream-5-lite": 10,
    "gpt-image-2": 10,
}
"""Public image models, each with its maximum number of reference images."""

VIDEO_FAMILIES = {
    "veo-3.1": "veo",
    "veo-3.1-fast": "veo",
    "seedance-1.5-pro": "seedance",
    "seedance-2.0": "seedance",
    "kling-video-standard": "kling",
    "kling-video-pro": "kling",
    "kling-motion-standard": "kling",
    "kling-motion-pro": "kling",
    "grok-imagine-1.5": "grok",
}
"""Video models, each with its group in `options`."""

VEO_CHOICES: dict[str, tuple[object, ...]] = {
    "aspectRatio": ("16:9", "9:16"),
    "duration": (4, 6, 8),
    "resolution": ("720p", "1080p"),
}

MAX_OUTPUTS = 10
"""The maximum of numImages and numVideos here; PhotoGPT's own limit is not documented."""

UPLOAD_TYPES = ("modelInput", "auxiliaryType")
UPLOAD_FORMATS = ("jpg", "jpeg", "webp", "png", "heic")
UPLOAD_BYTES = 20 * 1024 * 1024
IMAGES_PER_TYPE = 20
TRAINING_IMAGES = range(12, 21)

PRESETS = tuple(
    {"tag": tag, "name": tag.replace("-", " ").capitalize()}
    for tag in ("editorial", "studio-portrait", "street", "film-noir", "watercolour")
)
"""The fields of a preset are not documented; only the tag `editorial` is."""

CREDITS = {"image": 10.0, "upscale": 5.0, "video": 50.0, "training": 100.0}
"""Invented prices: image and video per output, the others per job."""

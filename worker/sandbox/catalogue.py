"""What PhotoGPT documents as fixed: public model ids, their limits, and presets."""

REFERENCE_IMAGES = {
    "nanobanana": 3,
    "nanobanana-pro": 14,
    "nanobanana-2": 14,
    "seedream": 10,
    "seedream-4_5": 10,
    "seedream-5-lite": 10,
    "gpt-image-2": 10,
}
"""Public image models, each with the most reference images it takes."""

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
"""Video models, each with the group of `options` that belongs to it."""

VEO_CHOICES: dict[str, tuple[object, ...]] = {
    "aspectRatio": ("16:9", "9:16"),
    "duration": (4, 6, 8),
    "resolution": ("720p", "1080p"),
}

MAX_OUTPUTS = 10
"""The largest numImages and numVideos taken here; PhotoGPT's own limit is not documented."""

UPLOAD_TYPES = ("modelInput", "auxiliaryType")
UPLOAD_FORMATS = ("jpg", "jpeg", "webp", "png", "heic")
UPLOAD_BYTES = 20 * 1024 * 1024
IMAGES_PER_TYPE = 20
TRAINING_IMAGES = range(12, 21)

PRESETS = tuple(
    {"tag": tag, "name": tag.replace("-", " ").capitalize()}
    for tag in ("editorial", "studio-portrait", "street", "film-noir", "watercolour")
)
"""The shape of a preset is not documented; only the tag `editorial` is."""

CREDITS = {"image": 10.0, "upscale": 5.0, "video": 50.0, "training": 100.0}
"""Made-up prices: image and video per output, the others per job."""

"""
Writes test/data/images/: tiny pictures of every kind that is read, with the pixels that Pillow decodes, and what the
image processors of transformers make of one of them.

    pip install pillow==13.0.0 numpy transformers==4.57.6
    python scripts/export-images.py
"""

import base64
import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from transformers import BitImageProcessor, CLIPImageProcessor, ConvNextImageProcessor
from transformers import DeiTImageProcessor, MobileViTImageProcessor, ViTImageProcessor

folder = Path(__file__).parent.parent / "test/data/images"
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(0)

WIDTH, HEIGHT = 31, 23
across = np.linspace(0, 255, WIDTH)[None, :] * np.ones((HEIGHT, 1))
down = np.linspace(255, 0, HEIGHT)[:, None] * np.ones((1, WIDTH))
disc = 255.0 * (np.hypot(*np.mgrid[-11:12, -15:16]) < 8)
noise = random.integers(0, 256, (HEIGHT, WIDTH, 3))
pixels = (0.8 * np.stack([across, down, disc], axis=-1) + 0.2 * noise).astype(np.uint8)
colour = Image.fromarray(pixels)
alpha = Image.fromarray(np.dstack([pixels, noise[..., 0].astype(np.uint8)]))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def deep_png() -> bytes:
    """Sixteen bits a channel, which Pillow reads and does not write."""
    import zlib

    rows = (pixels.astype(">u2") * 256 + 77).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


pictures = {
    "colour.png": saved(colour, "PNG"),
    "alpha.png": saved(alpha, "PNG"),
    "palette.png": saved(colour.quantize(16), "PNG", transparency=3),
    "grey.png": saved(colour.convert("L"), "PNG"),
    "grey-alpha.png": saved(alpha.convert("LA"), "PNG"),
    "two-colours.png": saved(colour.convert("1"), "PNG"),
    "sixteen-bits.png": deep_png(),
    "turned.png": saved(colour, "PNG", exif=exif(8)),
    "halved-colour.jpg": saved(colour, "JPEG", quality=80),
    "whole-colour.jpg": saved(colour, "JPEG", quality=90, subsampling=0),
    "progressive.jpg": saved(colour, "JPEG", quality=85, progressive=True),
    "grey.jpg": saved(colour.convert("L"), "JPEG"),
    **{f"turned-{o}.jpg": saved(colour, "JPEG", quality=60, exif=exif(o)) for o in range(2, 9)},
    "lossy.webp": saved(colour, "WEBP", quality=80),
    "lossless.webp": saved(colour, "WEBP", lossless=True),
    "alpha.webp": saved(alpha, "WEBP", quality=70),
    "turned.webp": saved(colour, "WEBP", lossless=True, exif=exif(6)),
}


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


with open(folder / "pictures.jsonl", "w") as out:
    for name, content in pictures.items():
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
        line = {
            "name": name,
            "file": base64.b64encode(content).decode(),
            "width": upright.width,
            "height": upright.height,
            "rgb": packed(np.asarray(upright)),
        }
        out.write(json.dumps(line) + "\n")

mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
square = {"height": 16, "width": 16}
processors = {
    "bilinear, smaller": ViTImageProcessor(size=square),
    "bicubic, smaller": ViTImageProcessor(size=square, resample=3, image_mean=mean, image_std=deviation),
    "lanczos, smaller": ViTImageProcessor(size={"height": 9, "width": 20}, resample=1),
    "box, smaller": ViTImageProcessor(size=square, resample=4),
    "hamming, smaller": ViTImageProcessor(size=square, resample=5),
    "nearest, smaller": ViTImageProcessor(size={"height": 10, "width": 12}, resample=0),
    "bilinear, larger": ViTImageProcessor(size={"height": 40, "width": 33}),
    "bicubic, larger": ViTImageProcessor(size={"height": 40, "width": 33}, resample=3),
    "one side as it is": ViTImageProcessor(size={"height": HEIGHT, "width": 16}),
    "as it is": ViTImageProcessor(do_resize=False),
    "no rescaling": ViTImageProcessor(size=square, do_rescale=False, image_mean=[127.5] * 3, image_std=[63.0] * 3),
    "no normalizing": ViTImageProcessor(size=square, do_normalize=False),
    "bytes": ViTImageProcessor(size=square, do_normalize=False, do_rescale=False),
    "shortest edge, crop": CLIPImageProcessor(size={"shortest_edge": 18}, crop_size=16),
    "crop of odd sides": BitImageProcessor(size={"shortest_edge": 17}, crop_size={"height": 12, "width": 15}),
    "crop beyond the picture": DeiTImageProcessor(size={"height": 13, "width": 20}, crop_size={"height": 16, "width": 17}),
    "share of a crop": ConvNextImageProcessor(size={"shortest_edge": 16}, crop_pct=0.8),
    "flipped channels": MobileViTImageProcessor(size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}),
}

with open(folder / "processed.jsonl", "w") as out:
    for name, processor in processors.items():
        config = json.loads(processor.to_json_string())
        values = processor(colour, return_tensors="np")["pixel_values"][0]
        line = {
            "name": name,
            "config": config,
            "shape": list(values.shape),
            "values": packed(values.astype(np.float32)),
        }
        out.write(json.dumps(line) + "\n")

"""Good pictures, masks, tables and annotations, which `fuzzing` damages."""

from __future__ import annotations

import io
import json

import numpy as np

from hostile_files import picture

CSV = [
    b"image,label\na.png,cat\nb.png,dog\nc d.png,10\n",
    b"# from a tool\nfile;class_index\nin/a.png;0\nin/b.png;2\n",
    b"a.png 1\nb.png 2\n",
    b'\xef\xbb\xbffilename\ty_true\tnote\r\na.png\t1\t"x"\r\nb.png\t0\t\r\n',
    "image,label\na.png,hen\n".encode("utf-16"),
    b",image,label\n0,a.png,cat\n1,b.png,dog\n",
    b"image|label|label_name\na.png|0|cat\n",
]
NAMES = [
    b"cat\ndog\nhen\n10\n",
    b'["cat", "dog", "hen", "10"]',
    b'{"0": "cat", "1": "dog", "2": "hen", "3": "10"}',
    b'{"0": ["n01", "cat"], "1": ["n02", "dog"], "2": ["n03", "hen"], "3": ["n04", "ten"]}',
    b"index,label\n0,cat\n1,dog\n2,hen\n3,ten\n",
    b"{0: 'cat', 1: 'dog', 2: 'hen', 3: 'ten'}",
    b"names:\n  0: cat\n  1: dog\n  2: hen\n  3: ten\n",
    b"names:\n- cat\n- dog\n- hen\n- ten\n",
    b"n02119789 kit fox\nn02100735 setter\nn02096294 terrier\nn02066245 whale\n",
]
BOXES = [
    b"image,x0,y0,x1,y1\na.png,2,3,40,30\nb.png,1,1,9,9\nb.png,12,12,20,20\n",
    b"image,x0,y0,x1,y1,label\na,2,3,40,30,cat\nb,1,1,9,9,dog\n",
]
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 7,
                "segmentation": [[2, 2, 30, 2, 30, 30, 2, 30]],
                "bbox": [2, 2, 28, 28],
            },
            {
                "id": 2,
                "image_id": 2,
                "category_id": 7,
                "segmentation": {"size": [48, 64], "counts": [100, 500, 2472]},
                "iscrowd": 0,
            },
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [5, 5, 10, 10], "iscrowd": 1},
            {"id": 4, "image_id": 1, "category_id": 7, "segmentation": {"size": [48, 64], "counts": "PPYo0"}},
        ],
        "categories": [{"id": 7, "name": "cat"}],
    }
).encode()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def pictures() -> dict[str, bytes]:
    found = {}
    for number, name in enumerate(("a.png", "b.png")):
        buffer = io.BytesIO()
        picture(number, 64).resize((64, 48)).save(buffer, "PNG")
        found[f"in/{name}"] = buffer.getvalue()
    return found


def mask(form: str, mode: str = "L") -> bytes:
    from PIL import Image

    values = np.zeros((48, 64), np.uint8)
    values[10:30, 20:50] = 255 if mode == "L" else 1
    made = Image.fromarray(values)
    if mode == "P":
        made.putpalette([0, 0, 0, 200, 0, 0])
    buffer = io.BytesIO()
    made.save(buffer, form)
    return buffer.getvalue()

"""What the pages have in common: one file, which loads nothing and runs no script but its own."""

import base64
import hashlib
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent


def render(name: str, *, data: dict, style: str = "", **values: object) -> bytes:
    """The page of `name`.html, which extends frame.html, with its script `name`.js.

    `data` is what picture.js and that script get, `style` the name of a CSS file beside page.css,
    and `values` what the template asks for. Equal input gives equal bytes.
    """
    script = _source("picture.js") + _source(f"{name}.js")
    environment = Environment(
        loader=FileSystemLoader(FOLDER, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(f"{name}.html").render(
        data=_json(data),
        style=_source("page.css") + (_source(style) if style else Markup()),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )
    return page.encode()


def _source(name: str) -> Markup:
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def _json(data: dict) -> Markup:
    """JSON that may stand in a <script>: nothing in it can end that, or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))

"""Links that run a chapter: Colab and Binder once the repository has an address, the notebook itself always."""

from __future__ import annotations

import html
from typing import Any

from sphinx.application import Sphinx

BRANCH = "notebooks"  # the publish workflow pushes the generated notebooks to this branch


def links(app: Sphinx, pagename: str, context: dict[str, Any]) -> str:
    """Return the links of one chapter as HTML."""
    found = addresses((app.config.html_theme_options or {}).get("repository_url", ""), pagename)
    download = f'<a href="{context["content_root"]}notebooks/{pagename}.ipynb" download>Notebook</a>'
    return "".join(f'<a href="{html.escape(url)}">{name}</a> ' for name, url in found.items()) + download


def addresses(repository: str, pagename: str) -> dict[str, str]:
    """Return {service: address} for a repository such as https://github.com/owner/name; empty without one."""
    parts = repository.rstrip("/").removesuffix(".git").split("/")
    if len(parts) != 5 or parts[2] != "github.com":
        return {}
    name = "/".join(parts[3:])
    notebook = f"{pagename}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh/{name}/{BRANCH}?labpath={notebook}",
    }

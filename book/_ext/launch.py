"""Links that run a chapter: Colab and Binder once the repository has an address, the notebook itself always."""

from __future__ import annotations

import html
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

BRANCH = "notebooks"  # the publish workflow pushes the generated notebooks to this branch


def links(app: Sphinx, pagename: str, context: dict[str, Any]) -> str:
    """Return the links of one chapter as HTML."""
    found = addresses(repository(app.config), pagename)
    download = f'<a href="{context["content_root"]}notebooks/{pagename}.ipynb" download>Notebook</a>'
    return "".join(f'<a href="{html.escape(url)}">{name}</a> ' for name, url in found.items()) + download


def repository(config: Config) -> str:
    """Return the address of the repository as _config.yml gives it, empty where it is not set."""
    return str((config.html_theme_options or {}).get("repository_url") or "")


def site(config: Config) -> str:
    """Return the address of the published pages, empty where there is none."""
    return site_of(repository(config), config.html_baseurl)


def site_of(repository_url: str, base: str) -> str:
    """Return the address of the published pages without a slash at its end: `base`, or that of GitHub's pages."""
    owner, name = _owner_and_name(repository_url)
    return (base or (f"https://{owner.lower()}.github.io/{name}" if owner else "")).rstrip("/")


def addresses(repository_url: str, pagename: str) -> dict[str, str]:
    """Return {service: address} for a repository such as https://github.com/owner/name; empty without one."""
    owner, name = _owner_and_name(repository_url)
    if not owner:
        return {}
    notebook = f"{pagename}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{owner}/{name}/blob/{BRANCH}/{notebook}",
        "Binder": f"https://mybinder.org/v2/gh/{owner}/{name}/{BRANCH}?labpath={notebook}",
    }


def _owner_and_name(repository_url: str) -> tuple[str, str]:
    parts = repository_url.rstrip("/").removesuffix(".git").split("/")
    return (parts[3], parts[4]) if len(parts) == 5 and parts[2] == "github.com" else ("", "")

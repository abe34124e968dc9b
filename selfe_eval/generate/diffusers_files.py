"""Which files of a diffusers folder are loaded, and what a folder must not hold. There is no torch here."""

from __future__ import annotations

from selfe_eval.generate.peers import PeerSettings


def diffusers_files(source: str, settings: PeerSettings | None = None) -> dict[str, str]:
    """Relative file name -> SHA-256 of every file that is loaded.

    Args:
        source: A folder in the layout of diffusers, or a hub name, which is fetched into the hub's own cache.
        settings: Its variant, revision and replaced parts decide which files those are.

    Raises:
        UsageError: nothing is there, a part is missing, weights are pickles, or loading it would run code of the folder.
    """
    raise NotImplementedError

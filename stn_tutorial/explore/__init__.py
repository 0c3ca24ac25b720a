"""Figures to play with: on the static page without a kernel, or in a live notebook."""

from stn_tutorial.explore.player import Player

__all__ = ["Player"]

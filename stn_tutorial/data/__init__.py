"""The images the book works on."""

from stn_tutorial.data.embedded import digits, photograph

__all__ = ["digits", "photograph"]

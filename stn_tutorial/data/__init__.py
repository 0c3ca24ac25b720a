"""The images the book works on."""

from stn_tutorial.data.embedded import embedded_digits, photograph

__all__ = ["embedded_digits", "photograph"]

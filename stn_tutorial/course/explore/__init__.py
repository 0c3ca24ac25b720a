"""Figures that answer to the hand: on a static page, from disk, without a kernel.

Each is a class and a JavaScript file. What it shows is part of the page: the scripts
are classic ones, the data stand in them, and nothing is fetched. Where scripts are off,
and in print, a picture stands in its place. In a live notebook the same file is a
widget, whose state Python reads and writes.
"""

from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.explore.aliasing import Aliasing
from stn_tutorial.course.explore.bench import Bench
from stn_tutorial.course.explore.between import Between
from stn_tutorial.course.explore.clinic import Clinic
from stn_tutorial.course.explore.coordinates import Coordinates
from stn_tutorial.course.explore.crop_loss import CropLoss
from stn_tutorial.course.explore.dial import Dial
from stn_tutorial.course.explore.frequencies import Frequencies
from stn_tutorial.course.explore.interval import Interval
from stn_tutorial.course.explore.luck import Luck
from stn_tutorial.course.explore.off_by_one import OffByOne
from stn_tutorial.course.explore.order import Order
from stn_tutorial.course.explore.painter import Painter
from stn_tutorial.course.explore.playground import Playground
from stn_tutorial.course.explore.polar import Polar
from stn_tutorial.course.explore.pull import Pull
from stn_tutorial.course.explore.push_pull import PushPull
from stn_tutorial.course.explore.register import Register
from stn_tutorial.course.explore.ruler import Ruler
from stn_tutorial.course.explore.slice import Slice
from stn_tutorial.course.explore.training_film import TrainingFilm
from stn_tutorial.course.explore.two_windows import TwoWindows
from stn_tutorial.course.explore.window import Window

__all__ = [
    "Aliasing",
    "Bench",
    "Between",
    "Clinic",
    "Coordinates",
    "CropLoss",
    "Dial",
    "Explorable",
    "Frequencies",
    "Interval",
    "Luck",
    "OffByOne",
    "Order",
    "Painter",
    "Playground",
    "Polar",
    "Pull",
    "PushPull",
    "Register",
    "Ruler",
    "Slice",
    "State",
    "TrainingFilm",
    "TwoWindows",
    "Window",
    "pack",
]

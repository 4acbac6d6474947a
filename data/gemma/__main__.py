"""Fetches Gemma 3 270M into the cache and prints its path: `python -m data.gemma`."""

import sys

from data.gemma import fetch
from selfguide_lite.core.errors import SelfguideError

try:
    print(fetch())
except SelfguideError as error:
    sys.exit(f"Error: {error}")

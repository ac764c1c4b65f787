"""Sleeps for as long as it may, whatever it is told."""

import time

time.sleep(600)

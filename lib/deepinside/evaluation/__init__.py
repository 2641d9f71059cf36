"""Measuring localization on folders of photos: ``python -m deepinside evaluate-localization``."""

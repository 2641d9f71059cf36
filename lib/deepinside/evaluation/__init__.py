"""Measuring localization on folders of pictures."""

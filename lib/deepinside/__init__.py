"""Helpers of the book *Deep Inside ConvNets*, one module for each part of the paper."""

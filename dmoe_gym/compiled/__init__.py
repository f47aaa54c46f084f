"""Helpers of compiled loops: how functions are compiled and cached, threads, random numbers."""

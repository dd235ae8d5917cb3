"""Modules with cells, for the tests."""

//! Python cells: lanes of embedded CPython, and worker processes.

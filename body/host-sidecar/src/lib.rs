//! Cells in processes of their own: Dart, and any executable that speaks the sidecar protocol.

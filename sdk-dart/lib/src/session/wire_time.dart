import 'dart:math';

const _dayMs = 24 * 60 * 60 * 1000;

/// A frame's milliseconds. Numbers of 64 bits without a sign may be negative here, and more than a [Duration] holds: a
/// day is as good as those.
Duration wireTime(int ms) => Duration(milliseconds: ms < 0 ? _dayMs : min(ms, _dayMs));

import 'dart:convert';

import 'body_bus.dart';
import 'context.dart';

/// The span that the body records of a call, for the words of the cell's author about it.
///
/// It is recorded with the call: where the trace is sampled, and where the call fails or is slow; else what was said about
/// it is forgotten. [notesMax] attributes and events are kept, of each text [noteBytesMax] bytes.
///
/// ```dart
/// ctx.span
///   ..attribute('order.id', 4711)
///   ..event('cache miss', {'key': 'orders/4711'});
/// ```
///
/// Values are written as text: a text as it is, all else as JSON (`7`, `true`), what JSON cannot hold by its `toString`.
/// Nothing here waits, or throws for what it is given.
final class Span {
  /// The span of a call's [_context].
  Span(this._bus, this._context);

  /// The most attributes and events that a span keeps; what is beyond is counted.
  static const notesMax = 64;

  /// The most bytes that is kept of each of their texts.
  static const noteBytesMax = 1024;

  final BodyBus _bus;
  final Context _context;

  int _count = 0;
  int _dropped = 0;

  /// Number of attributes and events that were dropped.
  int get dropped => _dropped;

  /// Whether it is recorded however the call goes: what is dear to find out can be left out where not.
  bool get sampled => _context.request.trace?.isSampled ?? false;

  /// Its position in the trace (W3C Trace Context), for tools that make spans of their own below it.
  String get traceparent => _context.traceparent;

  /// Says something that is so, for example `order.id`; of two of one key the later counts.
  void attribute(String key, Object? value) => _add(() => _bus.attribute(_context, _cut(key), text(value)));

  /// Says that something happened now, for example `cache miss`, with [attributes] of its own.
  void event(String name, [Map<String, Object?> attributes = const {}]) => _add(() {
        final said = [for (final MapEntry(:key, :value) in attributes.entries.take(notesMax)) (_cut(key), text(value))];
        return _bus.event(_context, _cut(name), DateTime.now().microsecondsSinceEpoch * 1000, said);
      });

  void _add(bool Function() say) => _count < _bus.notesMax && say() ? _count++ : _dropped++;

  /// Anything as the text of a note.
  static String text(Object? value) {
    if (value is String) return _cut(value);
    // What JSON has no number for, and a list that holds itself, among others.
    String written;
    try {
      written = value is num ? '$value' : jsonEncode(value);
      if (written.startsWith('"')) written = jsonDecode(written) as String;
    } catch (_) {
      written = _shown(value);
    }
    return _cut(written);
  }

  static String _shown(Object? value) {
    try {
      return '$value';
    } catch (_) {
      return '(${value.runtimeType})';
    }
  }

  /// Cuts a text to what is kept of it; no character is halved.
  static String _cut(String text) {
    // A letter has three bytes at most, and one beyond those has two units and four bytes.
    if (text.length * 3 <= noteBytesMax) return text;
    var bytes = 0;
    for (final (index, rune) in _runes(text)) {
      bytes += rune < 0x80 ? 1 : (rune < 0x800 ? 2 : (rune < 0x10000 ? 3 : 4));
      if (bytes > noteBytesMax) return text.substring(0, index);
    }
    return text;
  }

  static Iterable<(int, int)> _runes(String text) sync* {
    final runes = text.runes.iterator;
    while (runes.moveNext()) {
      yield (runes.rawIndex, runes.current);
    }
  }
}

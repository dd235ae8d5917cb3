import 'dart:typed_data';

import 'uuid.dart';

/// A position in a trace, as in W3C Trace Context: <https://www.w3.org/TR/trace-context/#traceparent-header>.
final class Trace {
  /// Trace id (16 bytes), span id (8) and flags (1), 25 bytes together.
  Trace(this.bytes) : assert(bytes.length == 25, 'a trace has 25 bytes');

  /// The trace that ids imply: the trace id is the correlation id, the span that of a request's [attempt], as by [at].
  factory Trace.implied(Uuid correlation, Uuid span, [int attempt = 0]) {
    final bytes = Uint8List(25)..setRange(0, 16, correlation.bytes);
    return Trace(_at(bytes, span, attempt));
  }

  /// Reads a `traceparent` of version `00`. Throws a [FormatException] for anything else.
  factory Trace.parse(String traceparent) {
    if (!_form.hasMatch(traceparent)) throw FormatException('not a traceparent of version 00', traceparent);
    final digits = traceparent.substring(3).replaceAll('-', '');
    return Trace(
      Uint8List.fromList([for (var at = 0; at < 50; at += 2) int.parse(digits.substring(at, at + 2), radix: 16)])
        ..last &= _known,
    );
  }

  /// The flags of version `00`: recorded, and a trace id that is random.
  static const _known = 3;

  static final _form = RegExp(r'^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');

  /// Trace id, span id and flags.
  final Uint8List bytes;

  /// The same trace at another span: the last eight bytes of a request's id; of a later [attempt], another.
  Trace at(Uuid span, [int attempt = 0]) => Trace(_at(Uint8List.fromList(bytes), span, attempt));

  static Uint8List _at(Uint8List bytes, Uuid span, int attempt) {
    bytes.setRange(16, 24, span.bytes, 8);
    for (var index = 23, rest = attempt; rest != 0; index--, rest >>>= 8) {
      bytes[index] ^= rest & 0xff;
    }
    return bytes;
  }

  /// Whether who began the trace wants it recorded.
  bool get isSampled => bytes[24] & 1 == 1;

  /// The `traceparent`.
  @override
  String toString() =>
      '00-${Uuid.hex(bytes, 0, 16)}-${Uuid.hex(bytes, 16, 24)}-${(bytes[24] & _known).toRadixString(16).padLeft(2, '0')}';
}

import 'dart:typed_data';

import 'cell_exception.dart';
import 'kind.dart';
import 'source.dart';
import 'target.dart';
import 'trace.dart';
import 'uuid.dart';

/// A message between cells: a payload that no bus looks into, and what is said about it.
///
/// Most cells never see one: they get JSON and a context. Middleware and cells of `cell.raw` do. An empty text, 0 and
/// null mean absent, and take no bytes on the wire.
final class Envelope {
  /// An envelope as it stands on the wire, field by field.
  const Envelope({
    required this.kind,
    required this.payload,
    this.id,
    this.correlationId,
    this.causationId,
    this.idempotencyKey = '',
    this.target,
    this.source = const Source(),
    this.schema = '',
    this.contentType = '',
    this.timeMs = 0,
    this.timeoutMs = 0,
    this.trace,
    this.tracestate = '',
    this.error,
    this.attributes = const [],
    this.attempt = 0,
  });

  /// A reply; [contentType] empty means JSON.
  const Envelope.reply(Uint8List payload, {String contentType = ''})
      : this(kind: Kind.reply, payload: payload, contentType: contentType);

  /// A reply that carries an error.
  Envelope.error(CellException error) : this(kind: Kind.error, payload: nothing, error: error);

  /// The payload of no bytes.
  static final Uint8List nothing = Uint8List(0);

  /// The content type of a payload that does not name one.
  static const contentTypeDefault = 'application/json';

  /// The most attributes an envelope may carry.
  static const attributesMax = 32;

  /// The most bytes that the keys and values of all attributes may have together.
  static const attributesBytesMax = 8 * 1024;

  /// What it is for.
  final Kind kind;

  /// UUIDv7, or a UUIDv8 for the step of a flow; a retry keeps it. Absent in replies.
  final Uuid? id;

  /// The id of the request that began it all; absent where that is this one.
  final Uuid? correlationId;

  /// The id of the request whose handling sent this one.
  final Uuid? causationId;

  /// The caller's own key: two calls with one key are meant as one.
  final String idempotencyKey;

  /// Whom it is for; absent where the subject says it.
  final Target? target;

  /// Sender.
  final Source source;

  /// The payload's schema, `domain/vN/Type`.
  final String schema;

  /// The payload's media type; empty means JSON.
  final String contentType;

  /// When it was sent, in milliseconds since 1970; 0: when its id was made.
  final int timeMs;

  /// What remained of the call's time when it was sent, in milliseconds; 0: not said.
  final int timeoutMs;

  /// A foreign trace; absent: implied by the ids.
  final Trace? trace;

  /// W3C tracestate, as it came.
  final String tracestate;

  /// The error of a reply of [Kind.error].
  final CellException? error;

  /// Anything else: keys with their values, in order.
  final List<(String, String)> attributes;

  /// 0 for the first attempt, one more for each retry.
  final int attempt;

  /// The bytes that it is all about. Those of a received envelope are a view of the buffer they came in: a cell that
  /// keeps them beyond its call copies them.
  final Uint8List payload;
}

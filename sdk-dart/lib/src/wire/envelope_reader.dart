import 'dart:convert';
import 'dart:typed_data';

import '../cell_exception.dart';
import '../envelope.dart';
import '../kind.dart';
import '../source.dart';
import '../target.dart';
import '../trace.dart';
import '../uuid.dart';
import 'byte_reader.dart';
import 'frame_exception.dart';

/// Reads frames of `specs/proto/cbs/v1/envelope.proto`: bytes to envelope.
///
/// ```text
/// 0xCB 0x01 | varint header length | protobuf cbs.v1.Header | payload bytes as they are
/// ```
abstract final class EnvelopeReader {
  /// The first byte of every frame. No JSON text begins with it.
  static const mark = 0xCB;

  /// The second byte: the version of the frame.
  static const version = 1;

  /// The most bytes a header may have.
  static const headerBytesMax = 64 * 1024;

  /// Whether a message looks like a frame, of any version; what does not is plain.
  static bool isFrame(Uint8List bytes) => bytes.isNotEmpty && bytes[0] == mark;

  /// Reads a frame. The payload is a view of [bytes]. Unknown fields are passed over.
  ///
  /// Throws a [FrameException] for bytes that are no frame, and nothing else.
  static Envelope read(Uint8List bytes) {
    if (!isFrame(bytes)) throw const FrameException('not a frame: the first byte is not 0xCB');
    if (bytes.length < 2) throw const FrameException('the frame ends in the middle of its header');
    if (bytes[1] != version) throw FrameException('frame version ${bytes[1]}, this program reads version $version');
    final reader = ByteReader(bytes, 2);
    final length = reader.varint();
    if (length < 0 || length > headerBytesMax) {
      throw FrameException('the header has ${BigInt.from(length).toUnsigned(64)} bytes, the limit is $headerBytesMax');
    }
    final start = reader.position;
    if (length > bytes.length - start) throw const FrameException('the frame ends in the middle of its header');
    return _Header(ByteReader(bytes, start, start + length)).read(Uint8List.sublistView(bytes, start + length));
  }
}

/// One header while it is read.
final class _Header {
  _Header(this._reader);

  final ByteReader _reader;
  Kind _kind = Kind.request;
  Uuid? _id;
  Uuid? _correlationId;
  Uuid? _causationId;
  String _idempotencyKey = '';
  Target? _target;
  Source _source = const Source();
  String _schema = '';
  String _contentType = '';
  int _timeMs = 0;
  int _timeoutMs = 0;
  Trace? _trace;
  String _tracestate = '';
  CellException? _error;
  List<(String, String)>? _attributes;
  int _attributesBytes = 0;
  int _attempt = 0;

  Envelope read(Uint8List payload) {
    while (!_reader.isDone) {
      final tag = _reader.varint();
      _field(tag >>> 3, tag & 7);
    }
    return Envelope(
      kind: _kind,
      id: _id,
      correlationId: _correlationId,
      causationId: _causationId,
      idempotencyKey: _idempotencyKey,
      target: _target,
      source: _source,
      schema: _schema,
      contentType: _contentType,
      timeMs: _timeMs,
      timeoutMs: _timeoutMs,
      trace: _trace,
      tracestate: _tracestate,
      error: _error,
      attributes: _attributes ?? const [],
      attempt: _attempt,
      payload: payload,
    );
  }

  void _field(int field, int wire) {
    switch (field) {
      case 1:
        _id = _uuid(field, wire);
      case 2:
        _correlationId = _uuid(field, wire);
      case 3:
        _causationId = _uuid(field, wire);
      case 4:
        _idempotencyKey = _reader.text(wire, field);
      case 5:
        _target = _readTarget(wire);
      case 6:
        _source = _readSource(_reader.nested(wire, field));
      case 7:
        _schema = _reader.text(wire, field);
      case 8:
        _contentType = _reader.text(wire, field);
      case 9:
        _timeMs = _reader.number(wire, field);
      case 10:
        _timeoutMs = _reader.number(wire, field);
      case 11:
        _trace = _readTrace(wire);
      case 12:
        _tracestate = _reader.text(wire, field);
      case 13:
        _kind = _readKind(_reader.number(wire, field));
      case 14:
        _error = _readError(_reader.nested(wire, field));
      case 15:
        _addAttribute(_reader.nested(wire, field));
      case 16:
        _attempt = _reader.number(wire, field);
        if (_attempt < 0 || _attempt > 0xffffffff) throw const FrameException('field 16: out of range');
      default:
        _reader.skip(wire, field);
    }
  }

  Uuid? _uuid(int field, int wire) {
    final bytes = _reader.view(wire, field);
    if (bytes.isEmpty) return null;
    if (bytes.length != 16) throw FrameException('field $field: an id that has not 16 bytes');
    return Uuid(bytes);
  }

  Target? _readTarget(int wire) {
    final text = _reader.text(wire, 5);
    if (text.isEmpty) return null;
    try {
      return Target.parse(text);
    } on FormatException {
      throw const FrameException('field 5: not a target');
    }
  }

  Trace? _readTrace(int wire) {
    final bytes = _reader.view(wire, 11);
    if (bytes.isEmpty) return null;
    if (bytes.length != 25) throw const FrameException('field 11: not 25 bytes');
    return Trace(bytes);
  }

  static Kind _readKind(int number) {
    if (number >= 0 && number < Kind.values.length) return Kind.values[number];
    final reserved = number > 0 && number <= 8;
    throw FrameException('field 13: a kind that ${reserved ? 'is reserved' : 'does not exist'}');
  }

  static Source _readSource(ByteReader reader) {
    var body = '', cell = '', revision = '';
    while (!reader.isDone) {
      final tag = reader.varint();
      switch (tag >>> 3) {
        case 1:
          body = reader.text(tag & 7, 6);
        case 2:
          cell = reader.text(tag & 7, 6);
        case 3:
          revision = reader.text(tag & 7, 6);
        default:
          reader.skip(tag & 7, 6);
      }
    }
    return Source(body: body, cell: cell, revision: revision);
  }

  static CellException _readError(ByteReader reader) {
    var code = '', message = '', retryable = false, notRun = false, hasDetails = false;
    Object? details;
    while (!reader.isDone) {
      final tag = reader.varint();
      switch (tag >>> 3) {
        case 1:
          code = reader.text(tag & 7, 14);
        case 2:
          message = reader.text(tag & 7, 14);
        case 3:
          retryable = reader.number(tag & 7, 14) != 0;
        case 4:
          final bytes = reader.view(tag & 7, 14);
          hasDetails = bytes.isNotEmpty;
          details = hasDetails ? _readDetails(bytes) : null;
        case 5:
          notRun = reader.number(tag & 7, 14) != 0;
        default:
          reader.skip(tag & 7, 14);
      }
    }
    return CellException(
      code.isEmpty ? 'internal' : code,
      message,
      retryable: retryable,
      details: details,
      hasDetails: hasDetails,
      notRun: notRun,
    );
  }

  static final _json = utf8.decoder.fuse(json.decoder);

  static Object? _readDetails(Uint8List bytes) {
    try {
      return _json.convert(bytes);
    } on FormatException {
      throw const FrameException('field 14: details that are no JSON');
    }
  }

  void _addAttribute(ByteReader reader) {
    var key = '', value = '';
    while (!reader.isDone) {
      final tag = reader.varint();
      switch (tag >>> 3) {
        case 1:
          key = reader.text(tag & 7, 15);
        case 2:
          value = reader.text(tag & 7, 15);
        default:
          reader.skip(tag & 7, 15);
      }
    }
    final attributes = _attributes ??= [];
    _attributesBytes += utf8.encode(key).length + utf8.encode(value).length;
    if (attributes.length >= Envelope.attributesMax || _attributesBytes > Envelope.attributesBytesMax) {
      throw const FrameException('field 15: more than 32 attributes or 8 KiB of them');
    }
    attributes.add((key, value));
  }
}

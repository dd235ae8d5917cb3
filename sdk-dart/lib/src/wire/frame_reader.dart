import 'dart:typed_data';

import '../envelope.dart';
import 'byte_reader.dart';
import 'field_index.dart';
import 'frame.dart';
import 'frame_exception.dart';

/// Reads frames of the sidecar protocol, without the four bytes of their length.
abstract final class FrameReader {
  /// Reads the frame that is all of [bytes] from [start] to [end]; envelopes are views. Null for a frame of a kind
  /// that this version does not know.
  ///
  /// Throws a [FrameException] for bytes that are no frame, and nothing else.
  static Frame? read(Uint8List bytes, [int start = 0, int? end]) {
    final reader = ByteReader(bytes, start, end);
    Frame? frame;
    while (!reader.isDone) {
      final tag = reader.varint();
      final kind = tag >>> 3;
      if (kind < 1 || kind > 15) {
        reader.skip(tag & 7, kind);
        continue;
      }
      frame = _content(kind, reader.nested(tag & 7, kind));
    }
    return frame;
  }

  static Frame _content(int kind, ByteReader reader) => switch (kind) {
        1 => _hello(FieldIndex(reader)),
        2 => _welcome(FieldIndex(reader)),
        3 => _ready(FieldIndex(reader)),
        4 => _request(reader),
        5 => _reply(reader),
        6 => Cancel(FieldIndex(reader).number(1)),
        7 => _print(FieldIndex(reader)),
        8 => _ask(FieldIndex(reader)),
        9 => _log(FieldIndex(reader)),
        10 => Credit(FieldIndex(reader).number(1)),
        11 => Ping(FieldIndex(reader).number(1)),
        12 => _pong(FieldIndex(reader)),
        13 => Drain(timeoutMs: FieldIndex(reader).number(1)),
        14 => Goodbye(FieldIndex(reader).text(1)),
        _ => _note(FieldIndex(reader)),
      };

  // Requests and replies are almost all of the traffic: they are read in one pass.
  static Request _request(ByteReader reader) {
    var id = 0, within = 0;
    var envelope = Envelope.nothing;
    while (!reader.isDone) {
      final tag = reader.varint();
      switch (tag >>> 3) {
        case 1:
          id = reader.number(tag & 7, 1);
        case 2:
          envelope = reader.view(tag & 7, 2);
        case 3:
          within = reader.number(tag & 7, 3);
        case final field:
          reader.skip(tag & 7, field);
      }
    }
    return Request(id: id, envelope: envelope, within: within);
  }

  static Reply _reply(ByteReader reader) {
    var id = 0;
    var envelope = Envelope.nothing;
    while (!reader.isDone) {
      final tag = reader.varint();
      switch (tag >>> 3) {
        case 1:
          id = reader.number(tag & 7, 1);
        case 2:
          envelope = reader.view(tag & 7, 2);
        case final field:
          reader.skip(tag & 7, field);
      }
    }
    return Reply(id: id, envelope: envelope);
  }

  static Hello _hello(FieldIndex fields) => Hello(
        protocol: fields.number(1),
        sdk: fields.text(2),
        language: fields.text(3),
        cells: fields.texts(4),
        frameBytesMax: fields.number(5),
        credit: fields.number(6),
        inFlightMax: fields.number(7),
      );

  static Welcome _welcome(FieldIndex fields) => Welcome(
        protocol: fields.number(1),
        version: fields.text(2),
        body: fields.text(3),
        namespace: fields.text(4),
        cells: fields.messages(5, _cell),
        frameBytesMax: fields.number(6),
        credit: fields.number(7),
        pingMs: fields.number(8),
        instance: fields.number(9),
        inFlightMax: fields.number(10),
        notesMax: fields.number(11),
      );

  static CellSpec _cell(FieldIndex fields) => CellSpec(
        name: fields.text(1),
        revision: fields.text(2),
        config: fields.view(3),
        concurrency: fields.number(4),
        timeoutMs: fields.number(5),
      );

  static Ready _ready(FieldIndex _) => const Ready();

  static Print _print(FieldIndex fields) => Print(fields.text(1), within: fields.number(2));

  static Ask _ask(FieldIndex fields) => Ask(id: fields.number(1), question: fields.text(2), within: fields.number(3));

  static Log _log(FieldIndex fields) => Log(
        level: _level(fields.number(1)),
        message: fields.text(2),
        within: fields.number(3),
        logger: fields.text(4),
        fields: fields.messages(5, _pair),
      );

  /// A level that this version does not know is read as info.
  static Level _level(int number) => number >= 0 && number < Level.values.length ? Level.values[number] : Level.info;

  static (String, String) _pair(FieldIndex fields) => (fields.text(1), fields.text(2));

  static Note _note(FieldIndex fields) => Note(
        within: fields.number(1),
        attribute: fields.message(2, _pair),
        event: fields.message(3, _event),
        dropped: fields.number(4),
      );

  static NoteEvent _event(FieldIndex fields) =>
      NoteEvent(fields.text(1), timeNs: fields.number(2), attributes: fields.messages(3, _pair));

  static Pong _pong(FieldIndex fields) => Pong(
        nonce: fields.number(1),
        inFlight: fields.number(2),
        queued: fields.number(3),
        lagUs: fields.number(4),
        lockWaitUs: fields.number(5),
      );
}

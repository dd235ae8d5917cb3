import 'dart:typed_data';

import '../envelope.dart';
import 'byte_reader.dart';
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
        1 => _hello(reader),
        2 => _welcome(reader),
        3 => _ready(reader),
        4 => _request(reader),
        5 => _reply(reader),
        6 => Cancel(_number(reader)),
        7 => _print(reader),
        8 => _ask(reader),
        9 => _log(reader),
        10 => Credit(_number(reader)),
        11 => Ping(_number(reader)),
        12 => _pong(reader),
        13 => Drain(timeoutMs: _number(reader)),
        14 => _goodbye(reader),
        _ => _note(reader),
      };

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

  /// The messages that hold one number.
  static int _number(ByteReader reader) {
    var number = 0;
    _each(reader, (field, wire) {
      if (field != 1) return false;
      number = reader.number(wire, field);
      return true;
    });
    return number;
  }

  static Hello _hello(ByteReader reader) {
    var protocol = 0, frameBytesMax = 0, credit = 0, inFlightMax = 0, sdk = '', language = '';
    final cells = <String>[];
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          protocol = reader.number(wire, field);
        case 2:
          sdk = reader.text(wire, field);
        case 3:
          language = reader.text(wire, field);
        case 4:
          cells.add(reader.text(wire, field));
        case 5:
          frameBytesMax = reader.number(wire, field);
        case 6:
          credit = reader.number(wire, field);
        case 7:
          inFlightMax = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Hello(
      protocol: protocol,
      sdk: sdk,
      language: language,
      cells: cells,
      frameBytesMax: frameBytesMax,
      credit: credit,
      inFlightMax: inFlightMax,
    );
  }

  static Welcome _welcome(ByteReader reader) {
    var protocol = 0, frameBytesMax = 0, credit = 0, pingMs = 0, instance = 0, inFlightMax = 0, notesMax = 0;
    var version = '', body = '', namespace = '';
    final cells = <CellSpec>[];
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          protocol = reader.number(wire, field);
        case 2:
          version = reader.text(wire, field);
        case 3:
          body = reader.text(wire, field);
        case 4:
          namespace = reader.text(wire, field);
        case 5:
          cells.add(_cell(reader.nested(wire, field)));
        case 6:
          frameBytesMax = reader.number(wire, field);
        case 7:
          credit = reader.number(wire, field);
        case 8:
          pingMs = reader.number(wire, field);
        case 9:
          instance = reader.number(wire, field);
        case 10:
          inFlightMax = reader.number(wire, field);
        case 11:
          notesMax = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Welcome(
      protocol: protocol,
      version: version,
      body: body,
      namespace: namespace,
      cells: cells,
      frameBytesMax: frameBytesMax,
      credit: credit,
      pingMs: pingMs,
      instance: instance,
      inFlightMax: inFlightMax,
      notesMax: notesMax,
    );
  }

  static CellSpec _cell(ByteReader reader) {
    var name = '', revision = '', concurrency = 0, timeoutMs = 0;
    Uint8List? config;
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          name = reader.text(wire, field);
        case 2:
          revision = reader.text(wire, field);
        case 3:
          config = reader.view(wire, field);
        case 4:
          concurrency = reader.number(wire, field);
        case 5:
          timeoutMs = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return CellSpec(name: name, revision: revision, config: config, concurrency: concurrency, timeoutMs: timeoutMs);
  }

  static Ready _ready(ByteReader reader) {
    _each(reader, (_, __) => false);
    return const Ready();
  }

  static Print _print(ByteReader reader) {
    var line = '', within = 0;
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          line = reader.text(wire, field);
        case 2:
          within = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Print(line, within: within);
  }

  static Ask _ask(ByteReader reader) {
    var id = 0, question = '', within = 0;
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          id = reader.number(wire, field);
        case 2:
          question = reader.text(wire, field);
        case 3:
          within = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Ask(id: id, question: question, within: within);
  }

  static Log _log(ByteReader reader) {
    var level = Level.info, message = '', within = 0, logger = '';
    final fields = <(String, String)>[];
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          final number = reader.number(wire, field);
          // A level that is not known is one that this version has no word for.
          level = number >= 0 && number < Level.values.length ? Level.values[number] : Level.info;
        case 2:
          message = reader.text(wire, field);
        case 3:
          within = reader.number(wire, field);
        case 4:
          logger = reader.text(wire, field);
        case 5:
          fields.add(_pair(reader.nested(wire, field)));
        default:
          return false;
      }
      return true;
    });
    return Log(level: level, message: message, within: within, logger: logger, fields: fields);
  }

  static (String, String) _pair(ByteReader reader) {
    var key = '', value = '';
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          key = reader.text(wire, field);
        case 2:
          value = reader.text(wire, field);
        default:
          return false;
      }
      return true;
    });
    return (key, value);
  }

  static Note _note(ByteReader reader) {
    var within = 0, dropped = 0;
    (String, String)? attribute;
    NoteEvent? event;
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          within = reader.number(wire, field);
        case 2:
          attribute = _pair(reader.nested(wire, field));
        case 3:
          event = _event(reader.nested(wire, field));
        case 4:
          dropped = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Note(within: within, attribute: attribute, event: event, dropped: dropped);
  }

  static NoteEvent _event(ByteReader reader) {
    var name = '', timeNs = 0;
    final attributes = <(String, String)>[];
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          name = reader.text(wire, field);
        case 2:
          timeNs = reader.number(wire, field);
        case 3:
          attributes.add(_pair(reader.nested(wire, field)));
        default:
          return false;
      }
      return true;
    });
    return NoteEvent(name, timeNs: timeNs, attributes: attributes);
  }

  static Pong _pong(ByteReader reader) {
    var nonce = 0, inFlight = 0, queued = 0, lagUs = 0, lockWaitUs = 0;
    _each(reader, (field, wire) {
      switch (field) {
        case 1:
          nonce = reader.number(wire, field);
        case 2:
          inFlight = reader.number(wire, field);
        case 3:
          queued = reader.number(wire, field);
        case 4:
          lagUs = reader.number(wire, field);
        case 5:
          lockWaitUs = reader.number(wire, field);
        default:
          return false;
      }
      return true;
    });
    return Pong(nonce: nonce, inFlight: inFlight, queued: queued, lagUs: lagUs, lockWaitUs: lockWaitUs);
  }

  static Goodbye _goodbye(ByteReader reader) {
    var reason = '';
    _each(reader, (field, wire) {
      if (field != 1) return false;
      reason = reader.text(wire, field);
      return true;
    });
    return Goodbye(reason);
  }

  /// Hands every field to [known], and passes over those of which it says that it does not know them.
  static void _each(ByteReader reader, bool Function(int field, int wire) known) {
    while (!reader.isDone) {
      final tag = reader.varint();
      if (!known(tag >>> 3, tag & 7)) reader.skip(tag & 7, tag >>> 3);
    }
  }
}

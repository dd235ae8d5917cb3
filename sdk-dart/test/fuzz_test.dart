import 'dart:math';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/byte_writer.dart';
import 'package:cbs/src/wire/envelope_reader.dart';
import 'package:cbs/src/wire/envelope_writer.dart';
import 'package:cbs/src/wire/frame_exception.dart';
import 'package:cbs/src/wire/frame_reader.dart';
import 'package:cbs/src/wire/frame_splitter.dart';
import 'package:cbs/src/wire/frame_writer.dart';
import 'package:test/test.dart';

import 'support/vectors.dart';

/// Said where a test fails, and set to see it fail again.
final _seed = Random().nextInt(1 << 32);

void main() {
  final random = Random(_seed);
  Uint8List noise(int length) => Uint8List.fromList([for (var i = 0; i < length; i++) random.nextInt(256)]);

  /// A copy with some bytes changed, cut off or put in.
  Uint8List mutated(Uint8List bytes) {
    final copy = bytes.toList();
    for (var change = random.nextInt(4); change >= 0; change--) {
      final at = random.nextInt(copy.length + 1);
      switch (random.nextInt(4)) {
        case 0 when at < copy.length:
          copy[at] = random.nextInt(256);
        case 1 when at < copy.length:
          copy.removeAt(at);
        case 2:
          copy.insert(at, random.nextInt(256));
        default:
          copy.removeRange(at, copy.length);
      }
    }
    return Uint8List.fromList(copy);
  }

  /// The declared error is fine, and so is what can be read; anything else fails the test.
  void reads(Uint8List bytes, void Function(Uint8List bytes) read) {
    try {
      read(bytes);
    } on FrameException {
      return;
    } catch (error, stack) {
      fail('seed $_seed, bytes ${hex(bytes)}: $error\n$stack');
    }
  }

  final envelopes = [for (final entry in entries(vectors('frames.json'), 'frames')) unhex(entry['frame'])];
  final frames = [for (final entry in entries(vectors('sidecar.json'), 'frames')) unhex(entry['bytes'])];

  test('any bytes are an envelope or the declared error', () {
    for (var round = 0; round < 20000; round++) {
      final bytes = noise(random.nextInt(64));
      reads(bytes, EnvelopeReader.read);
      reads(Uint8List.fromList([0xCB, 0x01, bytes.length & 0x7f, ...bytes]), EnvelopeReader.read);
      reads(mutated(envelopes[random.nextInt(envelopes.length)]), EnvelopeReader.read);
    }
  });

  test('any bytes are a frame of the sidecar protocol or the declared error', () {
    for (var round = 0; round < 20000; round++) {
      reads(noise(random.nextInt(64)), FrameReader.read);
      final frame = frames[random.nextInt(frames.length)];
      reads(mutated(Uint8List.sublistView(frame, 4)), FrameReader.read);
    }
  });

  test('a stream gives the same frames however it is cut', () {
    for (var round = 0; round < 500; round++) {
      final sent = [for (var count = random.nextInt(8); count >= 0; count--) noise(1 + random.nextInt(300))];
      final stream = ByteWriter();
      for (final content in sent) {
        stream
          ..uint32(content.length)
          ..raw(content);
      }
      final bytes = stream.copy();
      final found = <String>[];
      final splitter = FrameSplitter(
        frameBytesMax: 300,
        onFrame: (bytes, start, end) => found.add(hex(Uint8List.sublistView(bytes, start, end))),
      );
      for (var at = 0; at < bytes.length;) {
        final end = min(bytes.length, at + 1 + random.nextInt(100));
        splitter.add(Uint8List.fromList(bytes.sublist(at, end)));
        at = end;
      }
      expect(found, [for (final content in sent) hex(content)], reason: 'seed $_seed');
      expect(splitter.pending, 0);
    }
  });

  test('a length alone takes no memory', () {
    final splitter = FrameSplitter(frameBytesMax: 1 << 31, onFrame: (_, __, ___) => fail('nothing is whole'));
    splitter.add(Uint8List.fromList([0x7f, 0xff, 0xff, 0xff, 1, 2, 3]));
    expect(splitter.pending, 7);
  });

  test('envelopes come out as they went in', () {
    String text() => String.fromCharCodes([for (var i = random.nextInt(200); i > 0; i--) 1 + random.nextInt(0xd7ff)]);
    for (var round = 0; round < 2000; round++) {
      final sent = Envelope(
        kind: Kind.request,
        id: Uuid(noise(16)),
        correlationId: random.nextBool() ? Uuid(noise(16)) : null,
        idempotencyKey: text(),
        target: Target.cell('logic.greet'),
        source: Source(body: text(), cell: text(), revision: text()),
        schema: text(),
        timeMs: random.nextInt(1 << 32),
        timeoutMs: random.nextInt(1 << 32),
        attempt: random.nextInt(1 << 32),
        attributes: [for (var i = random.nextInt(8); i > 0; i--) (text(), text())],
        trace: random.nextBool() ? Trace(noise(25)) : null,
        payload: noise(random.nextInt(500)),
      );
      final read = EnvelopeReader.read(EnvelopeWriter.bytes(sent));
      expect(headerOf(read), headerOf(sent), reason: 'seed $_seed');
      expect(read.payload, sent.payload);
    }
  });

  test('numbers of every length come out as they went in', () {
    for (var bits = 0; bits < 64; bits++) {
      for (final value in [1 << bits, (1 << bits) - 1, ~(1 << bits)]) {
        final out = ByteWriter(1)..varint(value);
        expect(out.length, ByteWriter.varintLength(value), reason: '$value');
        final frame = ByteWriter(1);
        FrameWriter.reply(frame, value, Envelope.reply(noise(3)));
        expect(FrameReader.read(frame.copy(4)), isNotNull, reason: '$value');
      }
    }
  });
}

import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/names.dart';
import 'package:cbs/src/wire/byte_writer.dart';
import 'package:cbs/src/wire/envelope_reader.dart';
import 'package:cbs/src/wire/envelope_writer.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:cbs/src/wire/frame_exception.dart';
import 'package:cbs/src/wire/frame_reader.dart';
import 'package:cbs/src/wire/frame_splitter.dart';
import 'package:cbs/src/wire/frame_writer.dart';
import 'package:cbs/testing.dart';
import 'package:test/test.dart';

import 'support/vectors.dart';

Uint8List _written(Frame frame) {
  final out = ByteWriter();
  FrameWriter.write(out, frame);
  return out.copy();
}

/// The frames of a stream that comes in pieces of [size] bytes, each written anew; null for one of an unknown kind.
List<String?> _stream(Uint8List bytes, int size, {int frameBytesMax = 1 << 20}) {
  final found = <String?>[];
  final splitter = FrameSplitter(
    frameBytesMax: frameBytesMax,
    onFrame: (bytes, start, end) {
      final frame = FrameReader.read(bytes, start, end);
      found.add(frame == null ? null : hex(_written(frame)));
    },
  );
  for (var at = 0; at < bytes.length; at += size) {
    splitter.add(Uint8List.sublistView(bytes, at, at + size > bytes.length ? bytes.length : at + size));
  }
  if (splitter.pending > 0) {
    throw FrameException('the stream ended in the middle of a frame: ${splitter.pending} bytes of it had come');
  }
  return found;
}

void main() {
  group('frames.json', () {
    final all = vectors('frames.json');
    for (final entry in entries(all, 'frames')) {
      final header = entry['header'] as Map<String, dynamic>;
      test('${entry['name']} is read', () {
        final envelope = EnvelopeReader.read(unhex(entry['frame']));
        expect(headerOf(envelope), header);
        expect(hex(envelope.payload), entry['payload']);
      });
      if (entry['read_only'] == true) continue;
      test('${entry['name']} is written', () {
        final written = EnvelopeWriter.bytes(envelopeOf(header, unhex(entry['payload'])));
        final isDetailed = (header['error'] as Map<String, dynamic>?)?.containsKey('details') ?? false;
        // A JSON writer may choose its own spaces and order.
        if (isDetailed) {
          expect(headerOf(EnvelopeReader.read(written)), header);
        } else {
          expect(hex(written), entry['frame']);
        }
      });
    }
    for (final entry in entries(all, 'bad')) {
      test('${entry['name']} is refused', () {
        expect(() => EnvelopeReader.read(unhex(entry['frame'])), throwsA(isA<FrameException>()));
      });
    }
  });

  group('names.json', () {
    bool isTarget(String text) {
      try {
        return '${Target.parse(text)}'.isNotEmpty;
      } on FormatException {
        return false;
      }
    }

    for (final entry in entries(vectors('names.json'), 'names')) {
      final kind = entry['kind'] as String;
      final isName = switch (kind) {
        'cell' => Names.isCell,
        'flow' => Names.isFlow,
        'namespace' => Names.isNamespace,
        'topic' => Names.isTopic,
        'topic-filter' => Names.isTopicFilter,
        'body' => Names.isBody,
        'target' => isTarget,
        _ => throw StateError('the vectors have names of kind $kind, these tests do not'),
      };
      test('a $kind', () {
        for (final text in (entry['valid'] as List<dynamic>).cast<String>()) {
          expect(isName(text), isTrue, reason: '`$text` is a name of a $kind');
        }
        for (final text in (entry['invalid'] as List<dynamic>).cast<String>()) {
          expect(isName(text), isFalse, reason: '`$text` is no name of a $kind');
        }
      });
    }
  });

  test('subjects.json: filters hear their topics', () {
    final matches = entries(vectors('subjects.json'), 'matches');
    expect(matches, isNotEmpty);
    for (final entry in matches) {
      final filter = TopicFilter(entry['filter'] as String);
      expect(filter.matches(entry['topic'] as String), entry['hears'], reason: '$entry');
    }
  });

  group('traces.json', () {
    final all = vectors('traces.json');
    for (final entry in entries(all, 'positions')) {
      test('${entry['name']}: where the call stands', () {
        final trace = entry['trace'] as String?, correlation = entry['correlation_id'] as String?;
        final request = Envelope(
          kind: Kind.request,
          id: Uuid.parse(entry['id'] as String),
          correlationId: correlation == null ? null : Uuid.parse(correlation),
          trace: trace == null ? null : Trace.parse(trace),
          attempt: entry['attempt'] as int? ?? 0,
          target: Target.parse('demo.cell'),
          payload: Payload.encode(null),
        );
        final body = TestBody([
          cell('demo.cell', (ctx, input) => [ctx.traceparent, ctx.span.traceparent, ctx.span.sampled]),
        ]);
        final sampled = trace != null && trace.endsWith('1');
        expect(
          body.send(request).then((reply) => Payload.decode(reply.payload)),
          completion([entry['traceparent'], entry['traceparent'], sampled]),
        );
      });
    }
    for (final (index, entry) in entries(all, 'texts').indexed) {
      test('text $index: ${entry['text']}', () => expect(Span.text(entry['value']), entry['text']));
    }
  });

  group('sidecar.json', () {
    final all = vectors('sidecar.json');
    for (final entry in entries(all, 'frames')) {
      final written = hex(_written(frameOf(entry['frame'] as Map<String, dynamic>)));
      if (entry['read_only'] != true) {
        test('${entry['name']} is written', () => expect(written, entry['bytes']));
      }
      test('${entry['name']} is read, whole and byte by byte', () {
        final bytes = unhex(entry['bytes']);
        expect(_stream(bytes, bytes.length), [written]);
        expect(_stream(bytes, 1), [written]);
      });
    }
    for (final entry in entries(all, 'skipped')) {
      test('${entry['name']} is passed over', () {
        expect(_stream(unhex(entry['bytes']), 1), [null]);
      });
    }
    for (final entry in entries(all, 'bad')) {
      test('${entry['name']} is refused, whole and byte by byte', () {
        final bytes = unhex(entry['bytes']);
        final limit = entry['frame_bytes_max'] as int;
        for (final size in [bytes.length, 1]) {
          expect(() => _stream(bytes, size, frameBytesMax: limit), throwsA(isA<FrameException>()));
        }
      });
    }
  });
}

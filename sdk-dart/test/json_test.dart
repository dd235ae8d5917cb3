import 'dart:convert';
import 'dart:math';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:test/test.dart';

import 'support/vectors.dart';

final class _Tea {
  const _Tea(this.name);

  final String name;

  Object? toJson() => {'tea': name};
}

/// Whose toJson gives what JSON cannot hold.
final class _Wrong {
  const _Wrong();

  Object? toJson() => double.negativeInfinity;
}

/// Whose toJson writes JSON itself.
final class _Wrapped {
  Object? toJson() => utf8.decode(Payload.encode({'a': 1}));
}

void main() {
  test('any value is written as jsonEncode writes it', () {
    final seed = Random().nextInt(1 << 32);
    final random = Random(seed);
    String text() => String.fromCharCodes([
          for (var i = random.nextInt(random.nextInt(20) == 0 ? 3000 : 12); i > 0; i--)
            switch (random.nextInt(8)) {
              0 => random.nextInt(0x20),
              1 || 2 => random.nextInt(0xd800),
              3 => 0x10000 + random.nextInt(0x100000),
              4 => 0x22,
              _ => 0x20 + random.nextInt(0x60),
            },
        ]);
    Object? value(int depth) => switch (random.nextInt(depth > 4 ? 6 : 9)) {
          0 => null,
          1 => random.nextBool(),
          2 => random.nextInt(1 << 32) - (1 << 31),
          3 => random.nextDouble() * pow(10, random.nextInt(40) - 20),
          4 || 5 => text(),
          6 => _Tea(text()),
          7 => [for (var i = random.nextInt(5); i > 0; i--) value(depth + 1)],
          _ => {for (var i = random.nextInt(5); i > 0; i--) text(): value(depth + 1)},
        };
    for (var round = 0; round < 5000; round++) {
      final sent = value(0);
      final written = Payload.encode(sent);
      expect(utf8.decode(written), jsonEncode(sent), reason: 'seed $seed');
      expect(jsonEncode(Payload.decode(written)), jsonEncode(sent), reason: 'seed $seed');
    }
  });

  test('a long text is written whole, wherever its pairs stand', () {
    for (var before = 500; before < 525; before++) {
      final text = 'x' * before + '🦀' * 400;
      expect(utf8.decode(Payload.encode(text)), jsonEncode(text));
    }
  });

  test('a toJson may write JSON itself', () {
    expect(utf8.decode(Payload.encode([_Wrapped(), 2])), r'["{\"a\":1}",2]');
  });

  test('what JSON cannot hold is an error that names the place', () {
    final itself = <Object?>[];
    itself.add(itself);
    for (final (value, path, why) in [
      (double.nan, '', 'NaN is no number of JSON'),
      (
        {
          'rows': [
            1,
            {'x': double.infinity},
          ],
        },
        'rows[1].x',
        'Infinity is no number of JSON',
      ),
      ({'a': const _Wrong()}, 'a', '-Infinity is no number of JSON'),
      (
        {
          'a': {1: 2},
        },
        'a',
        'the key `1` of a map is no text',
      ),
      ([DateTime(2030)], '[0]', 'a DateTime has no toJson'),
      ({'a': 'half: \ud83e'}, 'a', 'a text holds half of a surrogate pair'),
      (itself, null, 'in one another'),
    ]) {
      expect(
        () => Payload.encode(value),
        throwsA(
          isA<UnwritableError>()
              .having((error) => error.path, 'path', path ?? startsWith('[0][0]'))
              .having((error) => error.reason, 'reason', contains(why)),
        ),
      );
    }
    expect(utf8.decode(Payload.encode({'after': 'an error'})), '{"after":"an error"}');
  });

  final payloads = vectors('payloads.json');
  Uint8List payloadOf(Map<String, dynamic> entry) {
    final once = unhex(entry['payload']);
    return Uint8List.fromList([for (var i = 0; i < (entry['times'] as int? ?? 1); i++) ...once]);
  }

  for (final entry in entries(payloads, 'accepted')) {
    test('JSON is read: ${entry['name']}', () {
      final read = Payload.decode(payloadOf(entry));
      expect(read, jsonDecode(utf8.decode(payloadOf(entry))));
      expect(Payload.decode(Payload.encode(read)), read);
    });
  }

  Matcher isRefused(Object? path) => throwsA(
        isA<CellException>()
            .having((error) => error.code, 'code', 'bad-request')
            .having((error) => error.details, 'details', {'path': path}).having(
                (error) => error.message, 'message', startsWith(path == '.' ? 'the payload: ' : '`$path`: ')),
      );

  for (final entry in entries(payloads, 'refused')) {
    test('what is no JSON is refused: ${entry['name']}', () {
      expect(() => Payload.decode(payloadOf(entry)), isRefused('.'));
    });
  }

  for (final entry in entries(payloads, 'beyond-64-bits')) {
    test('an integer beyond 64 bits is refused: ${entry['name']}', () {
      expect(() => Payload.decode(payloadOf(entry)), isRefused(entry['path']));
    });
  }

  test('an empty payload is null, what is no JSON is a bad request', () {
    expect(Payload.decode(Envelope.nothing), null);
    for (final bytes in [utf8.encode('{"a":'), utf8.encode('hello'), utf8.encode('1 2')]) {
      expect(
        () => Payload.decode(bytes),
        throwsA(isA<CellException>().having((error) => error.code, 'code', 'bad-request')),
      );
    }
  });
}

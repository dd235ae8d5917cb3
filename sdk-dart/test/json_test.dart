import 'dart:convert';
import 'dart:math';

import 'package:cbs/cbs.dart';
import 'package:test/test.dart';

final class _Tea {
  const _Tea(this.name);

  final String name;

  Object? toJson() => {'tea': name};
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
              1 => random.nextInt(0x10000),
              2 => 0xd800 + random.nextInt(0x800),
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
      final text = 'x' * before + '🦀' * 400 + '\ud83e';
      expect(utf8.decode(Payload.encode(text)), jsonEncode(text));
    }
  });

  test('a toJson may write JSON itself', () {
    expect(utf8.decode(Payload.encode([_Wrapped(), 2])), r'["{\"a\":1}",2]');
  });

  test('what JSON cannot hold is an internal error that tells why', () {
    final itself = <Object?>[];
    itself.add(itself);
    for (final (value, why) in [
      (double.nan, 'NaN is no number of JSON'),
      ({1: 2}, 'keys are no texts'),
      (DateTime(2030), 'a DateTime has no toJson'),
      (itself, 'in one another'),
    ]) {
      expect(
        () => Payload.encode(value),
        throwsA(
          isA<CellException>()
              .having((error) => error.code, 'code', 'internal')
              .having((error) => error.message, 'message', contains(why)),
        ),
      );
    }
    expect(utf8.decode(Payload.encode({'after': 'an error'})), '{"after":"an error"}');
  });

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

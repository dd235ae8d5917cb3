import 'dart:async';
import 'dart:math';
import 'dart:typed_data';

import 'package:cbs/src/session/outbox.dart';
import 'package:cbs/src/wire/byte_writer.dart';
import 'package:test/test.dart';

/// A socket that takes as much as the test lets it.
final class _Socket {
  int room = 1 << 40;
  final taken = BytesBuilder();
  int writes = 0;
  bool isAwaited = false;

  late final outbox = Outbox(
    write: (bytes, start, count) {
      writes++;
      final now = min(room, count);
      room -= now;
      taken.add(Uint8List.fromList(bytes.sublist(start, start + now)));
      return now;
    },
    awaitWritable: () => isAwaited = true,
    onRelief: () => relieved++,
  );

  int relieved = 0;

  bool add(int byte, int count) => outbox.add((ByteWriter out) => out.raw(Uint8List(count)..fillRange(0, count, byte)));
}

void main() {
  test('frames of one turn go out in one write', () async {
    final socket = _Socket()..outbox.grant(1000);
    for (var count = 0; count < 10; count++) {
      expect(socket.add(1, 10), isTrue);
    }
    expect(socket.writes, 0);
    await Future<void>.value();
    expect((socket.writes, socket.taken.length), (1, 100));
  });

  test('nothing that costs goes out without credit, and one frame may overdraw', () async {
    final socket = _Socket()..outbox.grant(10);
    expect(socket.add(1, 100), isTrue);
    expect(socket.add(2, 1), isFalse);
    socket.outbox.addFree((out) => out.byte(9));
    await Future<void>.value();
    expect(socket.taken.toBytes().toSet(), {1, 9}, reason: 'what is free passes by what waits');
    socket.outbox.grant(89);
    await Future<void>.value();
    expect(socket.taken.length, 101, reason: 'the credit is -1 still');
    socket.outbox.grant(2);
    await Future<void>.value();
    expect(socket.taken.length, 102);
  });

  test('relief comes when what waited is on its way, in order', () async {
    final socket = _Socket()..outbox.grant(1);
    socket.add(1, 1);
    final order = <int>[];
    for (final byte in [2, 3]) {
      socket.add(byte, 1);
      unawaited(socket.outbox.relief.then((_) => order.add(byte)));
    }
    await Future<void>.value();
    expect(order, isEmpty);
    socket.outbox.grant(10);
    await socket.outbox.relief;
    await Future<void>.value();
    expect(order, [2, 3]);
    expect(socket.taken.toBytes(), [1, 2, 3]);
  });

  test('a socket that takes no more is waited for, and nothing is lost or turned round', () async {
    final socket = _Socket()..outbox.unlimited = true;
    final sent = BytesBuilder();
    final random = Random(1);
    for (var round = 0; round < 2000; round++) {
      socket.room = random.nextInt(4000);
      final count = 1 + random.nextInt(2000);
      sent.add(Uint8List(count)..fillRange(0, count, round & 0xff));
      socket.add(round & 0xff, count);
      if (socket.isAwaited || random.nextBool()) socket.outbox.flush();
    }
    socket.room = 1 << 40;
    socket.outbox.flush();
    expect(socket.outbox.isEmpty, isTrue);
    expect(socket.taken.toBytes(), sent.toBytes());
  });

  test('memory is bounded while the socket takes nothing', () {
    final socket = _Socket()
      ..room = 0
      ..outbox.unlimited = true;
    while (!socket.outbox.isJammed) {
      socket.add(1, 16 * 1024);
      socket.outbox.flush();
    }
    expect(socket.outbox.writer.length, lessThan(2 * Outbox.bufferBytesMax));
    expect(socket.outbox.waitingBytes, lessThan(Outbox.repliesBytesMax + 16 * 1024));
    expect(socket.outbox.isPressed, isTrue);
    socket.room = 1 << 40;
    socket.outbox.flush();
    expect((socket.outbox.isEmpty, socket.relieved), (true, 1));
  });
}

import 'dart:io';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/byte_writer.dart';
import 'package:cbs/src/wire/envelope_writer.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:cbs/src/wire/frame_reader.dart';
import 'package:cbs/src/wire/frame_splitter.dart';
import 'package:cbs/src/wire/frame_writer.dart';

/// Measures a hop to a sidecar and back, by playing its body. It serves the other side itself:
///
/// ```sh
/// dart compile exe tool/hop.dart -o build/hop && build/hop
/// ```
Future<void> main() async {
  if (Platform.environment.containsKey('CBS_SIDECAR_SOCKET')) {
    return serve([
      cell('demo.echo', (ctx, input) => input),
    ]);
  }
  final folder = await Directory.systemTemp.createTemp('cbs-hop-');
  final address = InternetAddress('${folder.path}/socket', type: InternetAddressType.unix);
  final server = await RawServerSocket.bind(address, 0);
  final watch = Stopwatch()..start();
  final sidecar = await Process.start(
    Platform.resolvedExecutable,
    const [],
    environment: {'CBS_SIDECAR_SOCKET': address.address},
    mode: ProcessStartMode.inheritStdio,
  );
  final body = _Body(await server.first, sidecar.pid);
  await body.run(watch);
  await folder.delete(recursive: true);
  exit(await sidecar.exitCode);
}

final class _Body {
  _Body(this._socket, this._pid);

  final RawSocket _socket;
  final int _pid;
  late final _splitter = FrameSplitter(frameBytesMax: 1 << 24, onFrame: _onFrame);
  int _replies = 0;
  int _allowed = 0;
  bool _isReady = false;
  final _out = ByteWriter();
  int _sent = 0;

  Future<void> run(Stopwatch sinceStart) async {
    final envelope = EnvelopeWriter.bytes(
      Envelope(
        kind: Kind.request,
        id: Uuid.now(),
        target: Target.cell('demo.echo'),
        source: const Source(body: 'host-7f3a9c'),
        timeoutMs: 5000,
        payload: Payload.encode({'name': 'Ada', 'text': 'x' * 100}),
      ),
    );
    final events = _socket.asBroadcastStream();
    Future<void> until(bool Function() isSo) async {
      if (isSo()) return;
      await for (final event in events) {
        if (event == RawSocketEvent.read) {
          final bytes = _socket.read();
          if (bytes != null) _splitter.add(bytes);
        }
        _flush();
        if (isSo()) return;
      }
      throw StateError('the sidecar is gone');
    }

    _say(
      const Welcome(
        protocol: 1,
        cells: [CellSpec(name: 'demo.echo', timeoutMs: 5000)],
        frameBytesMax: 1 << 24,
        credit: 1 << 50,
      ),
    );
    await until(() => _isReady);
    stdout.writeln('start to ready: ${sinceStart.elapsedMicroseconds / 1000} ms, $_memory');
    for (var round = 0; round < 3; round++) {
      final times = Int32List(20000);
      for (var call = 0; call < times.length; call++) {
        final watch = Stopwatch()..start();
        final wanted = _replies + 1;
        _say(Request(id: wanted, envelope: envelope));
        _allowed -= envelope.length + 20;
        await until(() => _replies == wanted);
        times[call] = watch.elapsedMicroseconds;
      }
      times.sort();
      stdout.writeln('hop, one at a time: p50 ${times[10000]} µs, p99 ${times[19800]} µs');
    }
    for (var round = 0; round < 3; round++) {
      const calls = 500000;
      final watch = Stopwatch()..start();
      final first = _replies;
      for (var sent = 0; sent < calls;) {
        final end = first + calls < _replies + 4096 ? first + calls : _replies + 4096;
        await until(() => _allowed > 0);
        while (first + sent < end && _allowed > 0) {
          final start = _out.length;
          FrameWriter.write(_out, Request(id: first + ++sent, envelope: envelope));
          _allowed -= _out.length - start;
        }
        _flush();
        final wanted = first + sent;
        await until(() => _replies >= wanted - 2048);
      }
      await until(() => _replies == first + calls);
      stdout.writeln('pipelined: ${calls * 1000000 ~/ watch.elapsedMicroseconds} a second, $_memory');
    }
    _say(const Drain(timeoutMs: 1000));
  }

  void _onFrame(Uint8List bytes, int start, int end) {
    switch (FrameReader.read(bytes, start, end)) {
      case Reply():
        _replies++;
      case Hello(credit: final bytes) || Credit(:final bytes):
        _allowed += bytes;
      case Ready():
        _isReady = true;
      case _:
        break;
    }
  }

  void _say(Frame frame) {
    FrameWriter.write(_out, frame);
    _flush();
  }

  void _flush() {
    _sent += _socket.write(_out.buffer, _sent, _out.length - _sent);
    if (_sent < _out.length) return;
    _out.clear();
    _sent = 0;
  }

  String get _memory {
    final status = File('/proc/$_pid/status').readAsLinesSync();
    return status.where((line) => line.startsWith(RegExp('VmHWM|VmRSS'))).join(', ').replaceAll(RegExp(r'\s+'), ' ');
  }
}

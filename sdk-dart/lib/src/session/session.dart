import 'dart:async';
import 'dart:io';
import 'dart:math';
import 'dart:typed_data';

import '../cancellation.dart';
import '../cell.dart';
import '../cell_exception.dart';
import '../clock.dart';
import '../context.dart';
import '../envelope.dart';
import '../handlers.dart';
import '../home.dart';
import '../hosted_cell.dart';
import '../isolate_pool.dart';
import '../payload.dart';
import '../version.dart';
import '../wire/envelope_reader.dart';
import '../wire/frame.dart';
import '../wire/frame_exception.dart';
import '../wire/frame_reader.dart';
import '../wire/frame_writer.dart';
import 'connection.dart';
import 'deadlines.dart';
import 'end.dart';
import 'lag_meter.dart';
import 'running_call.dart';
import 'session_bus.dart';

/// One sidecar's talk with its body, from hello to goodbye. The rules: `specs/proto/sidecar.md`.
///
/// All of it runs on one event loop: what comes in one read is answered, as far as handlers answer at once, before
/// anything else happens, and goes out in one write.
final class Session {
  /// Begins to talk on a connected socket. [use] is middleware around every cell; [inFlightMax] is how many requests
  /// are taken at once, 0: as many as the body likes.
  Session(RawSocket socket, this._cells, {this.use = const [], this.inFlightMax = 0}) {
    _connection = Connection(
      socket,
      frameBytesMax: _frameBytesBefore,
      onFrame: _onFrame,
      onBroken: (error) => _fail('$error'),
      onClosed: (error) => _finish(End(1, error == null ? 'the body is gone' : 'the body is gone: $error')),
      onRelief: () {
        _bus.tellDropped();
        _giveCredit();
      },
    );
    _bus = SessionBus(_connection.outbox, _deadlines);
    _hello();
  }

  /// Frames before the welcome are small.
  static const _frameBytesBefore = 1024 * 1024;

  /// How many bytes the body may send ahead: requests beyond it wait in the body.
  static const creditBytes = 1024 * 1024;

  /// How long the welcome is waited for.
  static const welcomeTimeout = Duration(seconds: 10);

  static const _timeoutDefault = Duration(seconds: 5);

  /// Middleware around every cell.
  final List<Middleware> use;

  /// How many requests are taken at once; 0: no limit.
  final int inFlightMax;

  final List<Cell> _cells;
  late final Connection _connection;
  late final SessionBus _bus;
  late final _deadlines = Deadlines(() => _running.values.cast<Timed>().followedBy(_bus.calls.awaited));
  final _hosted = <String, HostedCell>{};
  final _running = <int, RunningCall>{};
  final _lag = LagMeter();
  final _end = Completer<End>();
  late final Timer _welcomeTimer;
  bool _isReady = false;
  bool _isWelcomed = false;
  int _lastId = 0;
  int _taken = 0;
  int _allowed = creditBytes;
  Completer<void>? _idle;

  /// Completes when the talk is over.
  Future<End> get end => _end.future;

  void _hello() {
    _connection.tell(
      Hello(
        protocol: 1,
        sdk: 'cbs-dart $version',
        language: 'dart ${Platform.version.split(' ').first}',
        cells: [for (final cell in _cells) cell.name],
        credit: creditBytes,
        inFlightMax: inFlightMax,
      ),
    );
    _welcomeTimer = Timer(welcomeTimeout, () => _fail('no welcome within ${welcomeTimeout.inSeconds} s'));
  }

  /// An error that no cell's call can be told of: of a future that nobody awaited, say.
  void unhandled(Object error, StackTrace stack) {
    _bus.log(null, Level.error, 'an error that nobody caught: $error', fields: {'stack': stack});
  }

  void _onFrame(Uint8List bytes, int start, int end) {
    if (_end.isCompleted) return;
    final frame = FrameReader.read(bytes, start, end);
    switch (frame) {
      case Request():
        _took(4 + end - start);
        _onRequest(frame);
        if (_connection.outbox.isLarge) _connection.outbox.flush();
      case Reply():
        _took(4 + end - start);
        _bus.answered(frame);
      case Credit():
        _connection.outbox.grant(frame.bytes);
      case Ping():
        _pong(frame.nonce);
      case Cancel():
        _running[frame.id]?.cancellation.cancel();
      case Welcome():
        unawaited(_onWelcome(frame));
      case Drain():
        unawaited(_drain(Duration(milliseconds: frame.timeoutMs)));
      case Goodbye(:final reason):
        _finish(reason.isEmpty ? const End(0) : End(1, 'the body said goodbye: $reason'));
      case Hello() || Ready() || Print() || Ask() || Log() || Pong():
        throw FrameException('a ${frame.runtimeType} frame from the body, which only a sidecar sends');
      case null:
        break;
    }
  }

  Future<void> _onWelcome(Welcome welcome) async {
    if (_isWelcomed) return _fail('a second welcome');
    _isWelcomed = true;
    _welcomeTimer.cancel();
    if (welcome.protocol != 1) return _fail('protocol version ${welcome.protocol}, this sidecar speaks 1');
    _connection.outbox
      ..unlimited = welcome.credit == 0
      ..grant(welcome.credit);
    _connection.splitter.frameBytesMax = welcome.frameBytesMax > 0 ? welcome.frameBytesMax : _frameBytesBefore;
    _bus
      ..frameBytesMax = welcome.frameBytesMax
      ..inFlightMax = welcome.inFlightMax;
    for (final spec in welcome.cells) {
      final cell = _cells.where((cell) => cell.name == spec.name).firstOrNull;
      if (cell == null) return _fail('this program has no cell ${spec.name}, it has ${_names()}');
      _hosted[spec.name] = HostedCell(cell, _home(welcome, spec), _bus, use);
    }
    for (final hosted in _hosted.values.toList()) {
      try {
        await hosted.cell.onStart?.call(hosted.home);
      } catch (error, stack) {
        final reason = 'the start of ${hosted.cell.name} failed: $error';
        _bus.log(null, Level.error, reason, fields: {'stack': stack});
        return _fail(reason);
      }
    }
    if (_end.isCompleted) return;
    _lag.start();
    _isReady = true;
    _connection.tell(const Ready());
  }

  String _names() => _cells.map((cell) => cell.name).join(', ');

  static Home _home(Welcome welcome, CellSpec spec) {
    final config = spec.config == null ? null : Payload.decode(spec.config!);
    return Home(
      cell: spec.name,
      body: welcome.body,
      namespace: welcome.namespace,
      revision: spec.revision,
      config: config is Map<String, Object?> ? config : const {},
      instance: welcome.instance,
      timeout: spec.timeoutMs > 0 ? Duration(milliseconds: min(spec.timeoutMs, _dayMs)) : _timeoutDefault,
    );
  }

  static const _dayMs = 24 * 60 * 60 * 1000;

  void _onRequest(Request frame) {
    if (!_isReady) throw const FrameException('a request before ready');
    final id = frame.id;
    if (id <= _lastId) throw FrameException('request $id after request $_lastId: numbers grow');
    _lastId = id;
    final Envelope request;
    try {
      request = EnvelopeReader.read(frame.envelope);
    } on FrameException catch (error) {
      return _refuse(id, CellException('bad-request', 'the envelope cannot be read: $error', notRun: true));
    }
    final target = request.target;
    final hosted = target == null && _hosted.length == 1
        ? _hosted.values.first
        : target?.kind == 'cell'
            ? _hosted[target?.name]
            : null;
    if (hosted == null) {
      return _refuse(id, CellException('not-found', 'this process serves ${_names()}, not $target', notRun: true));
    }
    if (inFlightMax > 0 && _running.length >= inFlightMax) {
      return _refuse(
        id,
        CellException('overloaded', '$target has no room for another call now', retryable: true, notRun: true),
      );
    }
    _run(id, hosted, request);
  }

  void _refuse(int id, CellException error) => _reply(id, Envelope.error(error));

  void _run(int id, HostedCell hosted, Envelope request) {
    final grantedUs = hosted.grantedUs(request);
    final dueUs = Clock.nowUs + grantedUs;
    final cancellation = Cancellation();
    final context = Context(
      home: hosted.home,
      request: request,
      bus: _bus,
      cancellation: cancellation,
      dueUs: dueUs,
      within: id,
    );
    final answer = hosted.answer(context, request);
    if (answer is Envelope) return _reply(id, answer);
    final call = RunningCall(id, dueUs, cancellation, (call) {
      _refuse(call.id, hosted.late(grantedUs));
      _left(call);
    });
    _running[id] = call;
    _deadlines.watch(dueUs);
    unawaited(
      answer.then((reply) {
        if (call.isAnswered) return;
        call.isAnswered = true;
        _left(call);
        _reply(id, reply);
      }),
    );
  }

  void _left(RunningCall call) {
    _running.remove(call.id);
    if (_running.isEmpty) _idle?.complete();
    _idle = _running.isEmpty ? null : _idle;
  }

  void _reply(int id, Envelope reply) {
    if (_end.isCompleted) return;
    final outbox = _connection.outbox;
    final start = outbox.writer.length;
    FrameWriter.reply(outbox.writer, id, reply);
    final error = _bus.tooLarge(start);
    if (error != null) {
      FrameWriter.reply(outbox.writer, id, Envelope.error(CellException(error.code, 'the reply: ${error.message}')));
    }
    outbox.commit(start);
  }

  /// The body gets its credit back in portions, and none while too much waits to be sent to it.
  void _took(int bytes) {
    if (_allowed <= 0) throw const FrameException('a frame for which there was no credit');
    _allowed -= bytes;
    _taken += bytes;
    if (_taken >= creditBytes ~/ 4) _giveCredit();
  }

  void _giveCredit() {
    if (_connection.outbox.isPressed || _taken < creditBytes ~/ 4) return;
    _connection.tell(Credit(_taken));
    _allowed += _taken;
    _taken = 0;
  }

  void _pong(int nonce) {
    _connection
      ..tell(Pong(nonce: nonce, inFlight: _running.length, queued: IsolatePool.queued, lagUs: _lag.take()))
      ..outbox.flush();
  }

  /// Finishes what there is, within the time that the body waits, and says goodbye.
  Future<void> _drain(Duration timeout) async {
    final left = Stopwatch()..start();
    Duration remaining() => timeout > left.elapsed ? timeout - left.elapsed : Duration.zero;
    if (_running.isNotEmpty) {
      final idle = _idle = Completer<void>();
      await idle.future.timeout(remaining(), onTimeout: () {});
    }
    for (final hosted in _hosted.values) {
      try {
        await Future.sync(() => hosted.cell.onStop?.call()).timeout(remaining());
      } catch (error, stack) {
        _bus.log(null, Level.error, 'the stop of ${hosted.cell.name} failed: $error', fields: {'stack': stack});
      }
    }
    await _connection.outbox.relief.timeout(remaining(), onTimeout: () {});
    if (_end.isCompleted) return;
    await _connection.close(last: const Goodbye());
    _finish(const End(0));
  }

  /// This side can go on no longer: it says why, and ends.
  void _fail(String reason) {
    if (_end.isCompleted) return;
    unawaited(_connection.close(last: Goodbye(reason)).whenComplete(() => _finish(End(1, reason))));
  }

  void _finish(End end) {
    if (_end.isCompleted) return;
    _end.complete(end);
    _welcomeTimer.cancel();
    _deadlines.stop();
    _lag.stop();
    _bus.calls.failAll('the body is gone');
    unawaited(_connection.close());
  }
}

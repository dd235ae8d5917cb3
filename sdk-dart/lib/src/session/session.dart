import 'dart:async';
import 'dart:io';
import 'dart:typed_data';

import '../cancellation.dart';
import '../cell.dart';
import '../cell_exception.dart';
import '../clock.dart';
import '../context.dart';
import '../envelope.dart';
import '../handlers.dart';
import '../hosted_cell.dart';
import '../isolate_pool.dart';
import '../text_of.dart';
import '../version.dart';
import '../wire/envelope_reader.dart';
import '../wire/frame.dart';
import '../wire/frame_exception.dart';
import '../wire/frame_reader.dart';
import '../wire/frame_writer.dart';
import 'connection.dart';
import 'deadlines.dart';
import 'end.dart';
import 'hosted_cells.dart';
import 'lag_meter.dart';
import 'running_call.dart';
import 'session_bus.dart';
import 'wire_time.dart';

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
      onRelief: () => _bus.tellDropped(),
    );
    _bus = SessionBus(_connection.outbox, _deadlines);
    _hosted = HostedCells(_cells, use, _bus);
    _hello();
  }

  /// Frames before the welcome are small.
  static const _frameBytesBefore = 1024 * 1024;

  /// How many bytes the body may send ahead: requests beyond it wait in the body. Nothing here waits before it is handed
  /// on, so a body that overdraws cannot be told from one that has got its credit back.
  static const creditBytes = 1024 * 1024;

  /// How long the welcome is waited for.
  static const welcomeTimeout = Duration(seconds: 10);

  /// How long stop hooks may take where the body has gone and says no limit.
  static const _stopTimeout = Duration(seconds: 5);

  /// Middleware around every cell.
  final List<Middleware> use;

  /// How many requests are taken at once; 0: no limit.
  final int inFlightMax;

  final List<Cell> _cells;
  late final Connection _connection;
  late final SessionBus _bus;
  late final HostedCells _hosted;
  late final _deadlines = Deadlines(() => _running.values.cast<Timed>().followedBy(_bus.calls.awaited));
  final _running = <int, RunningCall>{};
  final _lag = LagMeter();
  final _end = Completer<End>();
  late final Timer _welcomeTimer;
  bool _isReady = false;
  bool _isOver = false;
  bool _isWelcomed = false;
  int _lastId = 0;
  int _taken = 0;
  Completer<void>? _idle;
  bool _isDraining = false;

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
    _bus.log(null, Level.error, 'an error that nobody caught: ${textOf(error)}', fields: {'stack': stack});
  }

  void _onFrame(Uint8List bytes, int start, int end) {
    if (_isOver) return;
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
        if (frame.id <= 0 || frame.id > _lastId) throw FrameException('a cancel of ${frame.id}, which is no request');
        _running[frame.id]?.cancellation.cancel();
      case Welcome():
        unawaited(_onWelcome(frame));
      case Drain():
        unawaited(_drain(wireTime(frame.timeoutMs)));
      case Goodbye(:final reason):
        _finish(reason.isEmpty ? const End(0) : End(1, 'the body said goodbye: $reason'));
      case Hello() || Ready() || Print() || Ask() || Log() || Note() || Pong():
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
      ..inFlightMax = welcome.inFlightMax
      ..notesMax = welcome.notesMax;
    final reason = _hosted.welcome(welcome) ?? await _hosted.start();
    if (_isOver) return;
    if (reason != null) return _fail(reason);
    _lag.start();
    _isReady = true;
    _connection.tell(const Ready());
  }

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
    final hosted = _hosted.find(request);
    if (hosted == null) {
      return _refuse(id, CellException('not-found', 'this process serves ${_hosted.names}, not $target', notRun: true));
    }
    if (inFlightMax > 0 && _running.length >= inFlightMax || _connection.outbox.isJammed) {
      return _refuse(
        id,
        CellException('overloaded', '$target has no capacity for another call now', retryable: true, notRun: true),
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
      env: hosted.env,
      request: request,
      bus: _bus,
      cancellation: cancellation,
      dueUs: dueUs,
      within: id,
    );
    final answer = hosted.answer(context, request);
    if (answer is Envelope) return _answer(id, context, answer);
    final call = RunningCall(id, dueUs, cancellation, (call) {
      _answer(call.id, context, Envelope.error(hosted.late(grantedUs)));
      _left(call);
    });
    _running[id] = call;
    _deadlines.watch(dueUs);
    unawaited(
      answer.then((reply) {
        if (call.isAnswered) return;
        call.isAnswered = true;
        _left(call);
        _answer(id, context, reply);
      }),
    );
  }

  void _answer(int id, Context context, Envelope reply) {
    _bus.tellNotesDropped(context);
    _reply(id, reply);
  }

  void _left(RunningCall call) {
    _running.remove(call.id);
    if (_running.isEmpty) _idle?.complete();
    _idle = _running.isEmpty ? null : _idle;
  }

  void _reply(int id, Envelope reply) {
    if (_isOver) return;
    final outbox = _connection.outbox;
    final start = outbox.writer.length;
    FrameWriter.reply(outbox.writer, id, reply);
    final error = _bus.tooLarge(start);
    if (error != null) {
      FrameWriter.reply(outbox.writer, id, Envelope.error(CellException(error.code, 'the reply: ${error.message}')));
    }
    outbox.commit(start);
  }

  /// The body gets its credit back in portions, whatever waits to be sent to it.
  void _took(int bytes) {
    _taken += bytes;
    if (_taken < creditBytes ~/ 4) return;
    _connection.tell(Credit(_taken));
    _taken = 0;
  }

  void _pong(int nonce) {
    _connection
      ..tell(Pong(nonce: nonce, inFlight: _running.length, queued: IsolatePool.queued, lagUs: _lag.take()))
      ..outbox.flush();
  }

  /// Finishes what there is, within the time that the body waits, and says goodbye.
  Future<void> _drain(Duration timeout) async {
    if (_isDraining) return;
    _isDraining = true;
    final left = Stopwatch()..start();
    Duration remaining() => timeout > left.elapsed ? timeout - left.elapsed : Duration.zero;
    if (_running.isNotEmpty) {
      final idle = _idle = Completer<void>();
      // A tenth is kept for the stop hooks.
      await idle.future.timeout(timeout * 0.9, onTimeout: () {});
    }
    await _hosted.stop(remaining());
    await _connection.outbox.relief.timeout(remaining(), onTimeout: () {});
    if (_isOver) return;
    final undone = _running.length;
    await _connection.close(last: Goodbye(undone == 0 ? '' : '$undone requests were not done in time'));
    _finish(const End(0));
  }

  /// This side can go on no longer: it says why, and ends.
  void _fail(String reason) {
    if (_isOver) return;
    unawaited(_connection.close(last: Goodbye(reason)).whenComplete(() => _finish(End(1, reason))));
  }

  void _finish(End end) {
    if (_isOver) return;
    _isOver = true;
    _welcomeTimer.cancel();
    _deadlines.stop();
    _lag.stop();
    _bus.calls.failAll('the body is gone');
    unawaited(_connection.close());
    unawaited(_hosted.stop(_stopTimeout).whenComplete(() => _end.complete(end)));
  }
}

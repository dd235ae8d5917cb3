import '../cell.dart';
import '../cell_env.dart';
import '../cell_exception.dart';
import '../envelope.dart';
import '../handlers.dart';
import '../hosted_cell.dart';
import '../payload.dart';
import '../text_of.dart';
import '../wire/frame.dart';
import 'session_bus.dart';
import 'wire_time.dart';

/// The cells of this program that the body wants, from their start hooks to their stop hooks.
final class HostedCells {
  /// None is hosted before [welcome].
  HostedCells(this._cells, this._use, this._bus);

  static const _timeoutDefault = Duration(seconds: 5);

  final List<Cell> _cells;
  final List<Middleware> _use;
  final SessionBus _bus;
  final _hosted = <String, HostedCell>{};
  final _started = <HostedCell>[];
  bool _isStopped = false;

  /// The names of all that this program has, for people.
  String get names => _cells.map((cell) => cell.name).join(', ');

  /// Gives each cell that the body names its environment. Why that cannot be, else null.
  String? welcome(Welcome welcome) {
    if (welcome.cells.isEmpty) return 'a welcome without a cell';
    for (final spec in welcome.cells) {
      final cell = _cells.where((cell) => cell.name == spec.name).firstOrNull;
      if (cell == null) return 'this program has no cell ${spec.name}, it has $names';
      try {
        _hosted[spec.name] = HostedCell(cell, _env(welcome, spec), _bus, _use);
      } on CellException catch (error) {
        return 'the config of ${spec.name} is no JSON: ${error.message}';
      }
    }
    return null;
  }

  static CellEnv _env(Welcome welcome, CellSpec spec) {
    final config = spec.config == null ? null : Payload.decode(spec.config!);
    return CellEnv(
      cell: spec.name,
      body: welcome.body,
      namespace: welcome.namespace,
      revision: spec.revision,
      config: config is Map<String, Object?> ? config : const {},
      instance: welcome.instance,
      timeout: spec.timeoutMs == 0 ? _timeoutDefault : wireTime(spec.timeoutMs),
    );
  }

  /// Runs the start hooks, one after the other. Why one failed, else null.
  Future<String?> start() async {
    for (final hosted in _hosted.values.toList()) {
      try {
        await hosted.cell.onStart?.call(hosted.env);
        _started.add(hosted);
      } catch (error, stack) {
        final reason = 'the start of ${hosted.cell.name} failed: ${textOf(error)}';
        _bus.log(null, Level.error, reason, fields: {'stack': stack});
        return reason;
      }
    }
    return null;
  }

  /// Whom a request is for; null for nobody here.
  HostedCell? find(Envelope request) {
    final target = request.target;
    if (target == null) return _hosted.length == 1 ? _hosted.values.first : null;
    return target.kind == 'cell' ? _hosted[target.name] : null;
  }

  /// Runs the stop hooks of those that were started, once; one that fails or hangs keeps nobody.
  Future<void> stop(Duration timeout) async {
    if (_isStopped) return;
    _isStopped = true;
    final left = Stopwatch()..start();
    for (final hosted in _started) {
      final remaining = timeout - left.elapsed;
      try {
        final stopped = Future.sync(() => hosted.cell.onStop?.call());
        await stopped.timeout(remaining.isNegative ? Duration.zero : remaining);
      } catch (error, stack) {
        _bus.log(null, Level.error, 'the stop of ${hosted.cell.name} failed: ${textOf(error)}',
            fields: {'stack': stack});
      }
    }
  }
}

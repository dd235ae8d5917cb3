import 'body_bus.dart';
import 'context.dart';
import 'wire/frame.dart' show Level;

/// The body's log, with the ids of one call.
final class CellLog {
  /// The log of [context], as [logger]; by default the cell itself speaks.
  const CellLog(this._bus, this._context, [this._logger = '']);

  final BodyBus _bus;
  final Context _context;
  final String _logger;

  /// The same log for a part of the cell.
  CellLog named(String logger) => CellLog(_bus, _context, logger);

  /// What an operator must look at.
  void error(String message, [Map<String, Object?>? fields]) => _write(Level.error, message, fields);

  /// What may become an error.
  void warn(String message, [Map<String, Object?>? fields]) => _write(Level.warn, message, fields);

  /// What is worth a line in a normal run.
  void info(String message, [Map<String, Object?>? fields]) => _write(Level.info, message, fields);

  /// What helps to find a fault.
  void debug(String message, [Map<String, Object?>? fields]) => _write(Level.debug, message, fields);

  void _write(Level level, String message, Map<String, Object?>? fields) =>
      _bus.log(_context, level, message, logger: _logger, fields: fields);
}

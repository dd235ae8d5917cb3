/// Write cells in Dart for CBS, the Cell Body System.
///
/// A **cell** does one task; a **body** hosts it and connects it to NATS. A Dart cell runs in a process of its own, a
/// sidecar of its body.
///
/// ```dart
/// import 'package:cbs/cbs.dart';
///
/// Future<void> main() => serve([
///   cell('logic.shout', (ctx, input) => '$input'.toUpperCase()),
/// ]);
/// ```
///
/// `package:cbs/testing.dart` calls cells without a body.
library;

export 'src/cell.dart' show Cell, CellForms, cell;
export 'src/cell_env.dart';
export 'src/cell_exception.dart';
export 'src/cell_log.dart';
export 'src/context.dart';
export 'src/envelope.dart';
export 'src/handlers.dart';
export 'src/isolate_pool.dart' show IsolatedHandler, isolated;
export 'src/kind.dart';
export 'src/payload.dart';
export 'src/serve.dart' show serve;
export 'src/source.dart';
export 'src/span.dart';
export 'src/target.dart';
export 'src/topic_filter.dart';
export 'src/trace.dart';
export 'src/unwritable_error.dart';
export 'src/uuid.dart';

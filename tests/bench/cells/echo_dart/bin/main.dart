import 'package:cbs/cbs.dart';

/// Gives back what came: as bytes that nobody reads, and as JSON that is read and written anew.
Future<void> main() => serve([
  cell.raw('bench.dart', (ctx, request) => Envelope.reply(request.payload)),
  cell('bench.dart_json', (ctx, input) => input),
]);

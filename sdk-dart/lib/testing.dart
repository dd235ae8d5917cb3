/// Tests of cells, without a body: see [TestBody].
library;

export 'src/testing/test_body.dart';
export 'src/testing/test_event.dart';
export 'src/testing/test_log_line.dart';
export 'src/testing/test_span.dart';

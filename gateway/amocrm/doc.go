// Package amocrm speaks to amoCRM and Kommo.
//
// So far it knows who a widget's user is: [Verifier] checks the disposable tokens with which
// $authorizedAjax signs a page's requests. A token proves account and user to the one integration whose
// secret it is signed with; it gives no access to the CRM's API. The package imports no rung: cmd hands the
// Verifier to package push, whose Exchanger it is by shape.
package amocrm
